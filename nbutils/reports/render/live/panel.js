// What the panels of a page share. A worker does the arithmetic, so that the page answers while it computes;
// what is said to it stands in worker.js. Without scripts a figure is the still picture that it holds.

const make = (tag, properties = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
const labelled = (text, control, ...after) => make('label', {}, make('span', {}, text), control, ...after);
const button = (text, press, properties = {}) => {
  const made = make('button', {type: 'button', ...properties}, text);
  made.addEventListener('click', press);
  return made;
};
const row = (label, ...children) =>
  make('div', {className: 'row', role: 'group', 'aria-label': label}, ...children);
const press = (buttons, chosen) => buttons.forEach(one => one.setAttribute('aria-pressed', one === chosen));
const slider = (min, max, step, value, heard = () => {}) => {
  const control = make('input', {type: 'range', min, max, step, value});
  const told = make('output', {}, String(value));
  control.addEventListener('input', () => {
    told.textContent = control.value;
    heard(+control.value);
  });
  return {control, told};
};
const numeric = most => make('input', {type: 'number', min: 0, max: most, value: 0});
const options = pairs => pairs.map(([value, text]) => make('option', {value}, text));
const clamped = (value, most) => Math.min(most, Math.max(0, value));
const percent = share => `${(100 * share).toFixed(1)} %`;
const counted = number => number.toLocaleString('en');
const whole = (control, least, most) => {  // the number in a field, brought to where it makes sense
  const value = Math.round(Math.min(most, Math.max(least, +control.value || 0)));
  control.value = value;
  return value;
};

// -- the worker -------------------------------------------------------------------------------------------

const jobs = new Map();  // number of a request -> what hears its answers
let worker = null, lastJob = 0;

const begun = () => {
  const source = document.getElementById('live-worker').textContent;
  const made = new Worker(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
  const fail = message => { for (const hear of [...jobs.values()]) hear({did: 'error', message}); };
  made.onmessage = ({data}) => jobs.get(data.job)?.(data);
  made.onerror = event => {
    event.preventDefault();
    fail(event.message || 'the browser runs no worker here');
  };
  return made;
};
const ask = (request, hear) => {  // the number of the job
  const job = ++lastJob;
  jobs.set(job, answer => {
    if (['done', 'error', 'stopped'].includes(answer.did)) jobs.delete(job);
    hear(answer);
  });
  worker ??= begun();
  worker.postMessage({...request, job});
  return job;
};
const control = (what, target) => worker.postMessage({do: what, target, job: ++lastJob});
const answer = request => new Promise((resolve, reject) => {
  const job = ask(request, heard => {
    if (heard.did === 'progress') return;
    jobs.delete(job);
    if (heard.did === 'error') reject(new Error(heard.message));
    else resolve(heard);
  });
});
const loads = {};
const loaded = model => loads[model] ??= (() => {
  const held = document.getElementById(`live-${model}`);
  const description = JSON.parse(held.dataset.description);
  return answer({do: 'load', model, description, weights: held.textContent.trim()});
})();
// A model is read when its panel comes near, so that a page opens at once.
const near = figure => new Promise(resolve => {
  new IntersectionObserver((seen, watch) => {
    if (!seen.some(one => one.isIntersecting)) return;
    watch.disconnect();
    resolve();
  }, {rootMargin: '50%'}).observe(figure);
});
// Of requests that come faster than they are answered, only the latest is made.
const latest = (work, fail) => {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    while (again) {
      again = false;
      try { await work(); } catch (error) { fail(error); }
    }
    busy = false;
  };
};
// What is looked at beside a run takes time from it, so it is seldom while one goes on.
const seldom = (player, look) => {
  let last = 0;
  return () => {
    const now = performance.now();
    if (player.busy && !player.paused && now - last < 1500) return;
    last = now;
    look();
  };
};

// -- colours ----------------------------------------------------------------------------------------------

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const heat = share => {
  const last = VIRIDIS.length - 1, place = clamped(share || 0, 1) * last;
  const low = Math.min(last - 1, Math.floor(place));
  return VIRIDIS[low].map((value, i) => value + (place - low) * (VIRIDIS[low + 1][i] - value));
};
const picture = (size, colour) => {  // of size x size, colour(pixel) -> [r, g, b]
  const drawn = new ImageData(size, size);
  for (let pixel = 0; pixel < size * size; pixel++) drawn.data.set([...colour(pixel), 255], 4 * pixel);
  return drawn;
};
const put = (canvas, drawn) => {  // enlarged, every pixel a square
  const small = make('canvas', {width: drawn.width, height: drawn.height}), brush = canvas.getContext('2d');
  small.getContext('2d').putImageData(drawn, 0, 0);
  brush.imageSmoothingEnabled = false;
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
  return brush;
};
const mapCanvas = (size, label) =>
  make('canvas', {width: size * SCALE / 2, height: size * SCALE / 2, role: 'img', 'aria-label': label});
const SCALE = 12;  // of a board, whose pixels are then large enough for a line around them

// -- a board that is painted by mouse, finger or keyboard --------------------------------------------------

class Board {
  // `cells` are numbers, one a pixel; `value` is what painting puts there. `look` draws, `changed` hears.
  constructor(size, label, {look, changed, say, spoken}) {
    Object.assign(this, {size, look, changed, say, spoken, brush: 3, value: 1, square: false, cursor: null});
    this.cells = new Uint8Array(size * size);
    this.x = this.y = size >> 1;
    const side = size * SCALE, drawn = {width: side, height: side, className: 'board'};
    this.canvas = make('canvas', {...drawn, tabIndex: 0, role: 'application', 'aria-label': label});
    let from = null, before = null;
    this.canvas.addEventListener('pointerdown', event => {
      if (event.button) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.changed(true);
      before = this.cells.slice();
      from = this.at(event);
      this.move(from, from, before);
    });
    this.canvas.addEventListener('pointermove', event => {
      if (!from) return;
      const to = this.at(event);
      this.move(from, to, before);
      if (!this.square) from = to;
    });
    const end = () => { from = null; };
    for (const name of ['pointerup', 'pointercancel']) this.canvas.addEventListener(name, end);
    this.canvas.addEventListener('keydown', event => this.key(event));
    for (const shown of ['focus', 'blur']) this.canvas.addEventListener(shown, () => {
      this.cursor = shown === 'focus' && this.canvas.matches(':focus-visible');
      this.draw();
    });
  }

  at(event) {  // the pixel under a pointer
    const box = this.canvas.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return shares.map(share => clamped(Math.floor(share * this.size), this.size - 1));
  }

  fill(left, top, right, bottom) {
    const {size, cells, value} = this, last = size - 1;
    for (let y = Math.max(0, top); y <= Math.min(last, bottom); y++)
      for (let x = Math.max(0, left); x <= Math.min(last, right); x++) cells[y * size + x] = value;
  }

  move([x, y], [toX, toY], before) {
    if (this.square) {
      this.cells.set(before);
      this.fill(Math.min(x, toX), Math.min(y, toY), Math.max(x, toX), Math.max(y, toY));
    } else {
      const steps = Math.max(1, Math.abs(toX - x), Math.abs(toY - y));
      const between = (one, other, n) => Math.round(one + (other - one) * n / steps);
      for (let n = 0; n <= steps; n++) this.dab(between(x, toX, n), between(y, toY, n));
    }
    [this.x, this.y] = [toX, toY];
    this.changed();
  }

  dab(x, y) {
    const left = x - (this.brush - 1 >> 1), top = y - (this.brush - 1 >> 1);
    this.fill(left, top, left + this.brush - 1, top + this.brush - 1);
  }

  key(event) {
    const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!by && event.key !== ' ') return;
    event.preventDefault();
    this.cursor = true;
    if (by) [this.x, this.y] = [this.x + by[0], this.y + by[1]].map(place => clamped(place, this.size - 1));
    else {
      this.changed(true);
      this.dab(this.x, this.y);
      this.changed();
    }
    this.draw();
    this.say(`row ${this.y + 1}, column ${this.x + 1}: ${this.spoken(this.y * this.size + this.x)}`);
  }

  draw() {
    const brush = put(this.canvas, this.look());
    if (!this.cursor) return;
    const first = this.brush - 1 >> 1, side = this.brush * SCALE;
    const box = [(this.x - first) * SCALE, (this.y - first) * SCALE, side, side];
    for (const [lineWidth, strokeStyle] of [[5, '#000'], [2, '#fff']])
      Object.assign(brush, {lineWidth, strokeStyle}).strokeRect(...box);
  }
}
const tools = (board, choices) => {  // of which one is chosen: [text, {what it sets}]
  const buttons = choices.map(([text, sets]) => button(text, event => choose(event.currentTarget, sets)));
  const choose = (one, sets) => {
    Object.assign(board, sets);
    press(buttons, one);
  };
  choose(buttons[0], choices[0][1]);
  return row('What painting does', ...buttons);
};
// Small pictures to choose from: [ImageData, label], `choose` gets the number.
const shelf = (label, pictures, choose) => {
  const buttons = pictures.map(([drawn, name], number) => {
    const canvas = make('canvas', {width: drawn.width, height: drawn.height});
    canvas.getContext('2d').putImageData(drawn, 0, 0);
    const made = button('', () => choose(number), {'aria-label': name});
    made.append(canvas);
    return made;
  });
  const made = row(label, ...buttons);
  made.classList.add('shelf');
  return {element: made, mark: number => press(buttons, buttons[number])};
};

// -- a run that comes in, any moment of which can be shown again --------------------------------------------

class Filling {
  // `hides`: what is not drawn yet is hidden; Gibbs sampling begins with a full hole instead.
  constructor(levels, hole, hides) {
    Object.assign(this, {start: levels.slice(), hole, hides, index: [], drawn: [], doubt: [], ends: []});
    this.last = -1;
    this.rewind();
  }

  rewind() {
    Object.assign(this, {done: 0, levels: this.start.slice(), bits: new Float32Array(this.hole.length)});
    this.hidden = this.hides ? this.hole.slice() : new Uint8Array(this.hole.length);
  }

  add({index, levels, steps, bits}) {
    for (let n = 0; n < index.length; n++) {
      if (steps[n] !== this.last) this.ends.push(0);
      this.last = steps[n];
      this.index.push(index[n]);
      this.drawn.push(levels[n]);
      this.doubt.push(bits[n]);
      this.ends[this.ends.length - 1] = this.index.length;
    }
  }

  at(frame) {  // frame 0 is the beginning
    const end = frame ? this.ends[frame - 1] : 0;
    if (end < this.done) this.rewind();
    for (; this.done < end; this.done++) {
      const place = this.index[this.done], level = this.drawn[this.done];
      this.hidden[place] = level < 0 ? 1 : 0;
      this.bits[place] = this.doubt[this.done];
      if (level >= 0) this.levels[place] = level;
    }
    return this;
  }
}

class Player {
  // Buttons, slider and what is said of a run. `starts` are [text, begin], where begin gives {request, filling}
  // or says why not; `show` draws what the panel shows now; `pixels` gives the picture of a frame.
  constructor(figure, starts, {show, pixels, keep}) {
    Object.assign(this, {show, job: 0, filling: null, frame: 0, follows: true});
    this.figure = figure;
    this.status = make('p', {className: 'status-line'});
    this.aloud = make('p', {className: 'unseen', role: 'status'});  // not every step of a run is read out
    const frame = this.slider = slider(0, 0, 1, 0, value => {
      this.follows = value === +frame.max;
      this.go(value);
    }).control;
    frame.disabled = true;
    frame.setAttribute('aria-label', 'Moment of the filling');
    this.starts = starts.map(([text, begin]) => button(text, () => this.start(begin), {className: 'main'}));
    this.pause = button('Pause', () => this.hold(!this.paused), {disabled: true, 'aria-pressed': 'false'});
    this.stop = button('Stop', () => this.end('stopped'), {disabled: true});
    const kept = 'What was filled in becomes part of the picture', moving = 'The filling as an animated PNG';
    const save = () => this.saved(pixels).catch(error => this.say(error.message));
    this.keep = button('Keep', keep, {disabled: true, title: kept});
    this.save = button('Save', save, {disabled: true, title: moving});
    this.element = make('div', {className: 'player'},
      make('div', {className: 'row'}, ...this.starts, this.pause, this.stop), frame,
      make('div', {className: 'row'}, this.keep, this.save), this.status, this.aloud);
  }

  say(text) { this.status.textContent = this.aloud.textContent = text; }

  start(begin) {
    this.end('');
    const given = begin();
    if (typeof given === 'string') return this.say(given);
    const {request, filling} = given, pressed = performance.now();
    const wanted = () => this.busy && this.filling === filling;
    Object.assign(this, {filling, frame: 0, follows: true, waiting: false, finished: ''});
    this.total = given.total ?? NaN;  // of draws
    delete this.figure.dataset.first;
    this.running(true);
    this.say('The model is being read.');
    loaded(request.model).then(() => {
      if (!wanted()) return;
      this.say('The first prediction is being made.');
      this.job = ask(request, heard => { if (wanted()) this.hear(heard, pressed); });
    }).catch(error => { if (wanted()) this.end(`It did not work: ${error.message}`); });
  }

  hear(heard, pressed) {
    if (heard.did === 'started') {
      this.filling.start.set(heard.levels);
      this.filling.rewind();
      this.total = heard.total;
    } else if (heard.did === 'drew') {
      this.filling.add(heard);
      this.figure.dataset.first ??= Math.round(performance.now() - pressed);
    } else if (heard.did === 'done') {
      const how = `${counted(heard.evaluations)} predictions one after the other`;
      this.finished = `${how}, ${heard.seconds.toFixed(1)} s`;
      this.job = 0;
      this.running(false);
    } else if (heard.did === 'error') return this.end(`It did not work: ${heard.message}`);
    if (!this.waiting) requestAnimationFrame(() => {
      this.waiting = false;
      if (this.filling) this.arrived();
    });
    this.waiting = true;
  }

  arrived() {
    this.figure.dataset.drawn = this.filling.index.length;
    this.slider.max = this.filling.ends.length;
    this.slider.disabled = this.save.disabled = !this.filling.ends.length;
    this.keep.disabled = !this.filling.ends.length;
    if (this.follows) this.go(this.filling.ends.length);
    else this.tell();
  }

  go(frame) {
    this.frame = this.slider.value = frame;
    this.filling.at(frame);
    this.tell();
    this.show();
  }

  tell() {
    const {ends, doubt} = this.filling, last = ends.length, from = this.frame > 1 ? ends[this.frame - 2] : 0;
    const now = doubt.slice(from, ends[this.frame - 1] ?? 0), drawn = doubt.length;
    const mean = now.reduce((sum, bits) => sum + bits, 0) / now.length;
    const parts = [`moment ${counted(this.frame)} of ${counted(last)}`];
    if (this.busy && this.follows) {
      parts[0] = `${counted(drawn)} drawn`;
      if (this.total) parts.push(`${Math.round(100 * drawn / this.total)} %`);
    }
    if (now.length) parts.push(`${mean.toFixed(1)} bits of doubt`);
    if (this.finished) parts.push(this.finished);
    const said = parts.join(', ');
    this.slider.setAttribute('aria-valuetext', said);
    if (this.busy && !this.paused) this.status.textContent = said;
    else this.say(this.paused ? `Paused. ${said}` : said);
  }

  running(yes) {
    this.busy = yes;
    this.pause.disabled = this.stop.disabled = !yes;
    this.paused = false;
    this.pause.textContent = 'Pause';
    this.pause.setAttribute('aria-pressed', 'false');
    this.figure.dataset.state = yes ? 'running' : 'resting';
  }

  hold(yes) {
    if (!this.job) return;  // the model is being read
    control(yes ? 'pause' : 'resume', this.job);
    this.paused = yes;
    this.show();
    this.pause.textContent = yes ? 'Go on' : 'Pause';
    this.pause.setAttribute('aria-pressed', yes);
    this.tell();
  }

  end(text) {  // of the run; what it has drawn can still be looked through
    if (this.job) control('stop', this.job);
    this.job = 0;
    this.running(false);
    if (text === 'stopped' && this.filling) {
      this.finished = 'stopped';
      if (this.filling.ends.length) this.tell(); else this.say('Stopped.');
    } else this.say(text);
  }

  forget() {
    this.end('');
    Object.assign(this, {filling: null, frame: 0});
    Object.assign(this.slider, {max: 0, value: 0});
    this.slider.disabled = this.keep.disabled = this.save.disabled = true;
  }

  async saved(pixels) {
    const {filling} = this, last = filling.ends.length, count = Math.min(last, 60), frames = [];
    for (let n = 0; n <= count; n++) frames.push(pixels(filling.at(Math.round(n / count * last))));
    filling.at(this.frame);
    const link = make('a', {href: URL.createObjectURL(await animated(frames, 8)), download: 'filling.png'});
    link.click();
    this.say(`Saved filling.png, an animated PNG of ${frames.length} moments; browsers play it.`);
  }
}

// -- an animated PNG: the browser has the compression, what is left is the order of its parts ------------

const CRC = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
  return n;
});
const word = value => [value >>> 24 & 255, value >>> 16 & 255, value >>> 8 & 255, value & 255];
const chunk = (name, content) => {
  const all = new Uint8Array(4 + content.length);
  all.set([...name].map(letter => letter.charCodeAt()));
  all.set(content, 4);
  const sum = all.reduce((crc, byte) => CRC[(crc ^ byte) & 255] ^ crc >>> 8, -1) ^ -1;
  return [Uint8Array.from(word(content.length)), all, Uint8Array.from(word(sum))];
};
const deflated = async bytes => {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(packed).arrayBuffer());
};

const animated = async (frames, scale) => {  // ImageData of one size -> Blob
  const side = frames[0].width * scale, line = 1 + 3 * side;  // a row begins with 0: no filter
  const size = [...word(side), ...word(side)];
  const parts = [Uint8Array.from([137, 80, 78, 71, 13, 10, 26, 10])];
  parts.push(...chunk('IHDR', [...size, 8, 2, 0, 0, 0]));
  parts.push(...chunk('acTL', [...word(frames.length), ...word(0)]));  // 0: again and again
  let number = 0;
  for (const [place, {data, width}] of frames.entries()) {
    const raw = new Uint8Array(side * line);
    for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
      const pixel = (y / scale | 0) * width + (x / scale | 0);
      raw.set(data.subarray(4 * pixel, 4 * pixel + 3), y * line + 1 + 3 * x);
    }
    const packed = await deflated(raw), hundredths = place === frames.length - 1 ? 150 : 8;
    const shown = [...size, ...word(0), ...word(0), 0, hundredths, 0, 100, 0, 0];  // where, how long
    parts.push(...chunk('fcTL', [...word(number++), ...shown]));
    if (!place) parts.push(...chunk('IDAT', packed));
    else {
      const content = new Uint8Array(4 + packed.length);
      content.set(word(number++));
      content.set(packed, 4);
      parts.push(...chunk('fdAT', content));
    }
  }
  parts.push(...chunk('IEND', []));
  return new Blob(parts, {type: 'image/png'});
};
