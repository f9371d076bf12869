// Digits of black and white pixels: a net that reads row by row writes what follows and weighs all fillings of a few
// pixels; one of every order, where the page has it, fills any hole.

const PAPER = [16, 62, 110], INK = [255, 176, 72];  // in a hole, as in the figures
const HIDDEN = 2, MOST_WEIGHED = 6;

const digitsPanel = (figure, {writer, filler, size, pictures}) => {
  const count = size * size;
  let costs = null;

  // -- what is seen
  const shown = () => {  // 0 paper, 1 ink, 2 hidden
    const filling = player.filling;
    return filling ? filling.levels.map((level, pixel) => filling.hidden[pixel] ? HIDDEN : level) : board.cells;
  };
  const colours = (cells, hole) => pixel => {
    if (cells[pixel] === HIDDEN) return [128, 128, 128];
    return hole[pixel] ? [PAPER, INK][cells[pixel]] : Array(3).fill(255 * cells[pixel]);
  };
  const hole = () => player.filling ? player.filling.hole : board.cells.map(cell => cell === HIDDEN ? 1 : 0);
  const board = new Board(size, `Digit, ${size} by ${size} pixels. Arrow keys move, the space bar paints.`, {
    look: () => picture(size, colours(shown(), hole())),
    changed: begins => {
      if (begins) {
        const kept = player.filling && hole();
        player.forget();
        if (kept) bars.replaceChildren();
      } else seen();
    },
    say: text => player.say(text),
    spoken: pixel => about(pixel),
  });
  const about = pixel => {
    const now = shown()[pixel], what = ['paper', 'ink', 'hidden'][now];
    return costs && pixel < costs.until && now !== HIDDEN ? `${what}, ${costs.nats[pixel].toFixed(2)} nats; ink had ${(100 * costs.probabilities[pixel]).toFixed(0)} %` : what;
  };
  const seen = () => {
    board.draw();
    const hidden = hole().reduce((sum, one) => sum + one, 0);
    if (!player.filling) player.say(hidden ? `${hidden} pixels are hidden.` : 'Nothing is hidden: rub something out, or draw.');
    weigh.disabled = !hidden || hidden > MOST_WEIGHED;
    bars.replaceChildren();
    price();
  };
  const player = new Player(figure, [['Write on', () => write()], ...filler ? [['Fill the hole', () => fill()]] : []], {
    show: () => { board.draw(); price(); },
    pixels: filling => picture(size, colours(filling.levels.map((level, pixel) => filling.hidden[pixel] ? HIDDEN : level), filling.hole)),
    keep: () => {
      const cells = shown().slice();
      player.forget();
      board.cells.set(cells);
      seen();
    },
  });
  board.canvas.addEventListener('pointermove', event => {
    const box = board.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map(share => Math.min(size - 1, Math.max(0, Math.floor(share * size))));
    pointed.textContent = `row ${y + 1}, column ${x + 1}: ${about(y * size + x)}`;
  });

  // -- what it costs, in nats, of all that stands before the first hidden pixel
  const canvas = make('canvas', {width: size * 6, height: size * 6, role: 'img', 'aria-label': 'What every pixel costs'});
  const told = make('p'), pointed = make('p', {className: 'pointed'});
  const pricing = latest(async () => {
    const cells = shown(), first = cells.indexOf(HIDDEN), until = first < 0 ? count : first;
    await loaded(writer);
    const {nats, probabilities} = await answer({do: 'nats', model: writer, levels: cells.map(cell => cell === 1 ? 1 : 0)});
    costs = {nats, probabilities, until};
    let total = 0, most = 1;
    for (let pixel = 0; pixel < until; pixel++) { total += nats[pixel]; most = Math.max(most, nats[pixel]); }
    put(canvas, picture(size, pixel => pixel < until ? heat(nats[pixel] / most) : [128, 128, 128]));
    figure.dataset.nats = total;
    told.textContent = `${until < count ? `What stands before the first hidden pixel costs` : 'What is on the screen costs'} ${total.toFixed(1)} nats, read row by row. Bright in the map: ${most.toFixed(1)} nats for a pixel.`;
  }, error => player.say(error.message));

  const price = seldom(player, pricing);

  // -- digits and tools
  const shelf = make('div', {className: 'row shelf', role: 'group', 'aria-label': 'Digits that the nets have not seen'});
  const take = (cells, number) => {
    [...shelf.children].forEach((one, place) => one.setAttribute('aria-pressed', place === number));
    player.forget();
    original = cells;
    board.cells.set(cells);
    seen();
  };
  let original = new Uint8Array(count);
  const digits = pictures.map(text => Uint8Array.from(text, Number));
  [...digits, new Uint8Array(count)].forEach((cells, number) => {
    const small = make('canvas', {width: size, height: size});
    put(small, picture(size, pixel => Array(3).fill(255 * cells[pixel])));
    shelf.append(button('', () => take(cells, number), {'aria-label': number < digits.length ? `Digit ${number + 1}` : 'An empty page, to draw on'}));
    shelf.lastChild.append(small);
  });
  const painting = tools(board, [['Rub out', {value: HIDDEN}], ['Ink', {value: 1}], ['Paper', {value: 0}]]);
  const hide = inside => {
    player.forget();
    board.cells.set(original);
    for (let pixel = 0; pixel < count; pixel++) if (inside(pixel % size, pixel / size | 0)) board.cells[pixel] = HIDDEN;
    seen();
  };
  const inside = (value, side) => value >= (size - side) / 2 && value < (size + side) / 2;
  const wholes = make('div', {className: 'row', role: 'group', 'aria-label': 'Holes at once'},
    button('Lower half', () => hide((x, y) => y >= size / 2)), button('Middle', () => hide((x, y) => inside(x, size / 2) && inside(y, size / 2))),
    button('2 x 2', () => hide((x, y) => inside(x, 2) && inside(y, 2))), button('No hole', () => hide(() => false)));
  const brush = slider(1, 9, 1, board.brush, value => { board.brush = value; board.draw(); });

  // -- what the nets do
  const temperature = slider(0, 1.5, 0.05, 1), seed = make('input', {type: 'number', min: 0, max: 2 ** 31 - 1, value: 0});
  const order = make('select', {}, ...options(ORDERS.filter(([name]) => ['orderless', 'greedy', 'antigreedy', 'halton', 'independent_gibbs'].includes(name))));
  const begin = (holes, hides, request) => {
    const levels = board.cells.map(cell => cell === 1 ? 1 : 0);
    return {filling: new Filling(levels, holes, hides), total: hides ? holes.reduce((sum, one) => sum + one, 0) : NaN, request: {levels, temperature: +temperature.control.value, seed: whole(seed, 0, 2 ** 31 - 1), ...request}};
  };
  const nothing = 'Nothing is hidden: rub something out first.';
  const write = () => {
    const first = board.cells.indexOf(HIDDEN);
    if (first < 0) return nothing;
    return begin(board.cells.map((_, pixel) => pixel >= first ? 1 : 0), true, {do: 'continue', model: writer, first});
  };
  const fill = () => {
    const known = board.cells.map(cell => cell === HIDDEN ? 0 : 1), strategy = order.value;
    if (!known.includes(0)) return nothing;
    const schedule = {alpha_max: 0.9, alpha_min: 0.02, eta: 0.7};
    return begin(known.map(one => 1 - one), strategy !== 'independent_gibbs', {do: 'fill', model: filler, known, caption: null, strategy, steps: strategy === 'independent_gibbs' ? 100 : null, schedule});
  };
  const bars = make('ol', {className: 'bars'});
  const weigh = button(`Weigh all fillings`, async () => {
    const cells = board.cells.slice(), missing = [...cells.keys()].filter(pixel => cells[pixel] === HIDDEN);
    player.forget();
    board.draw();
    player.say(`Weighing ${2 ** missing.length} fillings.`);
    try {
      await loaded(writer);
      const {probabilities} = await answer({do: 'posterior', model: writer, levels: cells.map(cell => cell === 1 ? 1 : 0), missing});
      if (cells.some((cell, pixel) => cell !== board.cells[pixel])) return;  // another hole by now
      const best = [...probabilities.keys()].sort((one, other) => probabilities[other] - probabilities[one]).slice(0, 8);
      bars.replaceChildren(...best.map(number => bar(cells, missing, number, probabilities[number])));
      player.say(`The likeliest of ${probabilities.length} fillings has ${(100 * probabilities[best[0]]).toFixed(1)} %.`);
    } catch (error) { player.say(error.message); }
  }, {title: `of 1 to ${MOST_WEIGHED} hidden pixels`});
  const bar = (cells, missing, number, probability) => {
    const filled = cells.slice(), holes = new Uint8Array(count), small = make('canvas', {width: size * 2, height: size * 2});
    missing.forEach((pixel, i) => { filled[pixel] = number >> missing.length - 1 - i & 1; holes[pixel] = 1; });
    put(small, picture(size, colours(filled, holes)));
    const length = make('span', {className: 'length', style: `width:${100 * probability}%`});
    return make('li', {}, small, make('span', {className: 'track'}, length), `${(100 * probability).toFixed(1)} %`);
  };

  const left = make('div', {}, board.canvas, player.element);
  const right = make('div', {},
    shelf, painting, wholes,
    make('div', {className: 'settings'}, labelled('brush', brush.control, brush.told), labelled('temperature', temperature.control, temperature.told), labelled('seed', seed),
      ...filler ? [labelled('order of the hole', order)] : []),
    make('div', {className: 'map'}, canvas, make('div', {}, told, pointed)), make('div', {className: 'row'}, weigh), bars);
  take(digits[0], 0);
  hide((x, y) => y >= size / 2);
  return [left, right];
};
