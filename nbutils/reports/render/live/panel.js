// What the panels of a page share. The worker does the arithmetic, so that the page answers while it computes;
// what is said to it stands in worker.js. Without this script the figure is the still picture that it holds.

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
const slider = (min, max, step, value, heard = () => {}) => {
  const control = make('input', {type: 'range', min, max, step, value}), told = make('output', {}, String(value));
  control.addEventListener('input', () => { told.textContent = control.value; heard(+control.value); });
  return {control, told};
};
const options = pairs => pairs.map(([value, text]) => make('option', {value}, text));
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
  made.onerror = event => { event.preventDefault(); fail(event.message || 'the browser runs no worker here'); };
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
  const place = Math.min(1, Math.max(0, share || 0)) * (VIRIDIS.length - 1), low = Math.min(VIRIDIS.length - 2, Math.floor(place));
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
const SCALE = 12;  // of a board, whose pixels are then large enough for a line around them

// -- a board that is painted by mouse, finger or keyboard --------------------------------------------------

class Board {
  // `cells` are numbers, one a pixel; `value` is what painting puts there. `look` draws, `changed` hears.
  constructor(size, label, {look, changed, say, spoken}) {
    Object.assign(this, {size, look, changed, say, spoken, brush: 3, value: 1, square: false, cursor: null});
    this.cells = new Uint8Array(size * size);
    this.x = this.y = size >> 1;
    this.canvas = make('canvas', {width: size * SCALE, height: size * SCALE, tabIndex: 0, className: 'board', role: 'application', 'aria-label': label});
    const at = event => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map((place, i) =>
        Math.min(size - 1, Math.max(0, Math.floor(place / (i ? box.height : box.width) * size))));
    };
    let from = null, before = null;
    this.canvas.addEventListener('pointerdown', event => {
      if (event.button) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.changed(true);
      before = this.cells.slice();
      from = at(event);
      this.move(from, from, before);
    });
    this.canvas.addEventListener('pointermove', event => {
      if (!from) return;
      const to = at(event);
      this.move(from, to, before);
      if (!this.square) from = to;
    });
    for (const end of ['pointerup', 'pointercancel']) this.canvas.addEventListener(end, () => { from = null; });
    this.canvas.addEventListener('keydown', event => this.key(event));
    for (const shown of ['focus', 'blur']) this.canvas.addEventListener(shown, () => {
      this.cursor = shown === 'focus' && this.canvas.matches(':focus-visible');
      this.draw();
    });
  }

  move([x, y], [toX, toY], before) {
    if (this.square) {
      this.cells.set(before);
      for (let row = Math.min(y, toY); row <= Math.max(y, toY); row++)
        for (let column = Math.min(x, toX); column <= Math.max(x, toX); column++) this.cells[row * this.size + column] = this.value;
    } else {
      const steps = Math.max(1, Math.abs(toX - x), Math.abs(toY - y));
      for (let n = 0; n <= steps; n++) this.dab(Math.round(x + (toX - x) * n / steps), Math.round(y + (toY - y) * n / steps));
    }
    [this.x, this.y] = [toX, toY];
    this.changed();
  }

  dab(x, y) {
    const first = -(this.brush - 1 >> 1);
    for (let row = y + first; row < y + first + this.brush; row++)
      for (let column = x + first; column < x + first + this.brush; column++)
        if (row >= 0 && column >= 0 && row < this.size && column < this.size) this.cells[row * this.size + column] = this.value;
  }

  key(event) {
    const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!by && event.key !== ' ') return;
    event.preventDefault();
    this.cursor = true;
    if (by) [this.x, this.y] = [this.x + by[0], this.y + by[1]].map(place => Math.min(this.size - 1, Math.max(0, place)));
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
    for (const [width, colour] of [[5, '#000'], [2, '#fff']]) Object.assign(brush, {lineWidth: width, strokeStyle: colour}).strokeRect(...box);
  }
}
const tools = (board, choices) => {  // buttons of which one is pressed: [text, {what it sets}]
  const row = make('div', {className: 'row', role: 'group', 'aria-label': 'What painting does'});
  const pressed = chosen => [...row.children].forEach(one => one.setAttribute('aria-pressed', one === chosen));
  for (const [text, sets] of choices) row.append(button(text, event => { Object.assign(board, sets); pressed(event.currentTarget); }));
  Object.assign(board, choices[0][1]);
  pressed(row.firstChild);
  return row;
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
  // Buttons, slider and what is said of a run. `begin` gives {request, filling} of a button, or says why not; `show`
  // draws what the panel shows now; `pixels` gives the picture of a frame.
  constructor(figure, starts, {show, pixels, keep}) {
    Object.assign(this, {show, job: 0, filling: null, frame: 0, follows: true});
    this.figure = figure;
    this.status = make('p', {className: 'status-line'});
    this.aloud = make('p', {className: 'unseen', role: 'status'});  // not every step of a run is read out
    const frame = this.slider = make('input', {type: 'range', min: 0, max: 0, value: 0, disabled: true, 'aria-label': 'Moment of the filling'});
    frame.addEventListener('input', () => { this.follows = +frame.value === +frame.max; this.go(+frame.value); });
    this.starts = starts.map(([text, begin]) => button(text, () => this.start(begin), {className: 'main'}));
    this.pause = button('Pause', () => this.hold(!this.paused), {disabled: true, 'aria-pressed': 'false'});
    this.stop = button('Stop', () => this.end('stopped'), {disabled: true});
    this.keep = button('Keep', keep, {disabled: true, title: 'What was filled in becomes part of the picture'});
    this.save = button('Save', () => this.saved(pixels).catch(error => this.say(error.message)), {disabled: true, title: 'The filling as an animated PNG'});
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
    Object.assign(this, {filling, frame: 0, follows: true, total: given.total ?? NaN, waiting: false, finished: ''});
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
      this.finished = `${heard.evaluations.toLocaleString('en')} predictions one after the other, ${heard.seconds.toFixed(1)} s`;
      this.job = 0;
      this.running(false);
    } else if (heard.did === 'error') return this.end(`It did not work: ${heard.message}`);
    if (!this.waiting) requestAnimationFrame(() => { this.waiting = false; if (this.filling) this.arrived(); });
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
    const now = doubt.slice(from, ends[this.frame - 1] ?? 0), mean = now.reduce((sum, bits) => sum + bits, 0) / now.length;
    const drawn = this.filling.index.length.toLocaleString('en'), moment = `moment ${this.frame.toLocaleString('en')} of ${last.toLocaleString('en')}`;
    const parts = [this.busy && this.follows ? `${drawn} drawn${this.total ? `, ${Math.round(100 * this.filling.index.length / this.total)} %` : ''}` : moment];
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

// -- an animated PNG: the browser has the compression, what is left is the order of its parts -----------------

const CRC = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
  return n;
});
const word = value => [value >>> 24 & 255, value >>> 16 & 255, value >>> 8 & 255, value & 255];
const chunk = (name, content) => {
  const bytes = Uint8Array.from([...name].map(letter => letter.charCodeAt())), all = new Uint8Array(4 + content.length);
  all.set(bytes);
  all.set(content, 4);
  const sum = all.reduce((crc, byte) => CRC[(crc ^ byte) & 255] ^ crc >>> 8, -1) ^ -1;
  return [Uint8Array.from(word(content.length)), all, Uint8Array.from(word(sum))];
};
const deflated = bytes => new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'))).arrayBuffer();

const animated = async (frames, scale) => {  // ImageData of one size -> Blob
  const side = frames[0].width * scale, parts = [Uint8Array.from([137, 80, 78, 71, 13, 10, 26, 10])];
  parts.push(...chunk('IHDR', [...word(side), ...word(side), 8, 2, 0, 0, 0]), ...chunk('acTL', [...word(frames.length), ...word(0)]));
  let number = 0;
  for (const [place, {data, width}] of frames.entries()) {
    const raw = new Uint8Array(side * (1 + 3 * side));  // every row begins with 0: no filter
    for (let y = 0; y < side; y++) for (let x = 0; x < side; x++)
      raw.set(data.subarray(4 * ((y / scale | 0) * width + (x / scale | 0))).subarray(0, 3), y * (1 + 3 * side) + 1 + 3 * x);
    const packed = new Uint8Array(await deflated(raw)), hundredths = place === frames.length - 1 ? 150 : 8;
    parts.push(...chunk('fcTL', [...word(number++), ...word(side), ...word(side), ...word(0), ...word(0), 0, hundredths, 0, 100, 0, 0]));
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
