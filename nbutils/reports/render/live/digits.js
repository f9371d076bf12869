// Digits of black and white pixels: a net that reads row by row writes what follows and weighs all fillings of
// a few pixels; one of every order, where the page has it, fills any hole.

const PAPER = [16, 62, 110], INK = [255, 176, 72];  // in a hole, as in the figures
const HIDDEN = 2, MOST_WEIGHED = 6, BARS = 8;  // cells are 0 paper, 1 ink, 2 hidden
const NOTHING_HIDDEN = 'Nothing is hidden: rub something out first.';
const OF_DIGITS = ['orderless', 'greedy', 'antigreedy', 'halton', 'independent_gibbs'];
const inked = cells => cells.map(cell => cell === 1 ? 1 : 0);

const digitsPanel = (figure, {writer, filler, size, pictures}) => {
  const count = size * size, close = near(figure);
  let original = new Uint8Array(count), costs = null;

  // -- what is seen: the digit with its hole, or a moment of a filling
  const cellsOf = filling => filling.levels.map((level, pixel) => filling.hidden[pixel] ? HIDDEN : level);
  const shown = () => player.filling ? cellsOf(player.filling) : board.cells;
  const hole = () => player.filling?.hole ?? board.cells.map(cell => cell === HIDDEN ? 1 : 0);
  const colours = (cells, hole) => pixel => {
    if (cells[pixel] === HIDDEN) return Array(3).fill(HIDDEN_GREY);
    return hole[pixel] ? [PAPER, INK][cells[pixel]] : Array(3).fill(255 * cells[pixel]);
  };
  const seen = (cells, hole) => picture(size, colours(cells, hole));
  const board = new Board(size, `Digit, ${size} by ${size} pixels. Arrow keys move, the space bar paints.`, {
    look: () => seen(shown(), hole()),
    changed: begins => begins ? player.forget() : refresh(),
    say: text => player.say(text),
    spoken: pixel => about(pixel),
  });
  const about = pixel => {
    const cell = shown()[pixel], what = ['paper', 'ink', 'hidden'][cell];
    if (!costs || pixel >= costs.until || cell === HIDDEN) return what;
    return `${what}, ${costs.nats[pixel].toFixed(2)} nats; ink had ${percent(costs.probabilities[pixel])}`;
  };
  const refresh = () => {
    const hidden = hole().reduce((sum, one) => sum + one, 0);
    board.draw();
    if (!player.filling) player.say(hidden ? `${hidden} pixels are hidden.` : NOTHING_HIDDEN);
    weigh.disabled = !hidden || hidden > MOST_WEIGHED;
    bars.replaceChildren();
    price();
  };
  const starts = [['Write on', () => write()], ...filler ? [['Fill the hole', () => fill()]] : []];
  const player = new Player(figure, starts, {
    show: () => {
      board.draw();
      price();
    },
    pixels: filling => seen(cellsOf(filling), filling.hole),
    keep: () => take(shown().slice()),
  });
  board.canvas.addEventListener('pointermove', event => {
    const [x, y] = board.at(event);
    pointed.textContent = `row ${y + 1}, column ${x + 1}: ${about(y * size + x)}`;
  });

  // -- what it costs, in nats, as far as nothing is hidden
  const canvas = mapCanvas(size, 'What every pixel costs');
  const told = make('p'), pointed = make('p', {className: 'pointed'});
  const pricing = latest(async () => {
    await close.then(() => loaded(writer));
    const cells = shown(), first = cells.indexOf(HIDDEN), until = first < 0 ? count : first;
    const {nats, probabilities} = await answer({do: 'nats', model: writer, levels: inked(cells)});
    const counting = nats.subarray(0, until), most = Math.max(1, ...counting);
    costs = {nats, probabilities, until};
    put(canvas, picture(size, pixel => pixel < until ? heat(nats[pixel] / most) : Array(3).fill(HIDDEN_GREY)));
    const total = figure.dataset.nats = counting.reduce((sum, one) => sum + one, 0);
    const what = until < count ? 'What stands before the first hidden pixel' : 'What is on the screen';
    told.textContent = `${what} costs ${total.toFixed(1)} nats, row by row. Bright: ${most.toFixed(1)} a pixel.`;
  }, error => player.say(error.message));
  const price = seldom(player, pricing);

  // -- digits and tools
  const digits = [...pictures.map(text => Uint8Array.from(text, Number)), new Uint8Array(count)];
  const named = number => number < pictures.length ? `Digit ${number + 1}` : 'An empty page, to draw on';
  const take = (cells, number = -1) => {
    offered.mark(number);
    player.forget();
    original = cells;
    board.cells.set(cells);
    refresh();
  };
  const drawn = digits.map((cells, number) => [seen(cells, cells.map(() => 0)), named(number)]);
  const offered = shelf('Digits that the nets have not seen', drawn, number => take(digits[number], number));
  const painting = tools(board, [['Rub out', {value: HIDDEN}], ['Ink', {value: 1}], ['Paper', {value: 0}]]);
  const hide = isHidden => {
    player.forget();
    board.cells.set(original.map((cell, pixel) => isHidden(pixel % size, pixel / size | 0) ? HIDDEN : cell));
    refresh();
  };
  const central = (place, side) => place >= (size - side) / 2 && place < (size + side) / 2;
  const lower = (x, y) => y >= size / 2;
  const holes = row('Holes at once',
    button('Lower half', () => hide(lower)),
    button('Middle', () => hide((x, y) => central(x, size / 2) && central(y, size / 2))),
    button('2 x 2', () => hide((x, y) => central(x, 2) && central(y, 2))),
    button('No hole', () => hide(() => false)));
  const brush = slider(1, 9, 1, board.brush, value => {
    board.brush = value;
    board.draw();
  });

  // -- what the nets do
  const temperature = slider(0, 1.5, 0.05, 1), seed = numeric(LARGEST_SEED);
  const order = make('select', {}, ...options(ORDERS.filter(([name]) => OF_DIGITS.includes(name))));
  const begun = (holes, hides, request) => {
    const levels = inked(board.cells), total = hides ? holes.reduce((sum, one) => sum + one, 0) : NaN;
    const how = {levels, temperature: +temperature.control.value, seed: whole(seed, 0, LARGEST_SEED)};
    return {filling: new Filling(levels, holes, hides), total, request: {...how, ...request}};
  };
  const write = () => {
    const first = board.cells.indexOf(HIDDEN), holes = board.cells.map((_, pixel) => pixel < first ? 0 : 1);
    return first < 0 ? NOTHING_HIDDEN : begun(holes, true, {do: 'continue', model: writer, first});
  };
  const fill = () => {
    const known = board.cells.map(cell => cell === HIDDEN ? 0 : 1);
    const strategy = order.value, gibbs = isGibbs(strategy);
    if (!known.includes(0)) return NOTHING_HIDDEN;
    const how = {steps: gibbs ? 100 : null, schedule: {alpha_max: 0.9, alpha_min: 0.02, eta: 0.7}};
    return begun(hole(), !gibbs, {do: 'fill', model: filler, known, caption: null, strategy, ...how});
  };

  // -- all fillings of a few pixels, weighed exactly
  const bars = make('ol', {className: 'bars'});
  const around = missing => {  // the square part of the digit that has a hole and three pixels on each side
    const xs = missing.map(pixel => pixel % size), ys = missing.map(pixel => pixel / size | 0);
    const spans = [xs, ys].map(places => Math.max(...places) - Math.min(...places) + 7);
    const side = Math.min(size, Math.max(...spans));
    const [left, top] = [xs, ys].map(places => clamped(Math.min(...places) - 3, size - side));
    return {side, at: pixel => (top + (pixel / side | 0)) * size + left + pixel % side};
  };
  const bar = (cells, missing, number, probability) => {
    const filled = cells.slice(), small = make('canvas', {width: 88, height: 88}), {side, at} = around(missing);
    missing.forEach((pixel, place) => { filled[pixel] = number >> missing.length - 1 - place & 1; });
    const colour = colours(filled, cells.map(cell => cell === HIDDEN ? 1 : 0));
    put(small, picture(side, pixel => colour(at(pixel))));
    const length = make('span', {className: 'length', style: `width:${100 * probability}%`});
    return make('li', {}, small, make('span', {className: 'track'}, length), percent(probability));
  };
  const weighing = async () => {
    player.forget();
    board.draw();
    const cells = board.cells.slice(), missing = [...cells.keys()].filter(pixel => cells[pixel] === HIDDEN);
    player.say(`Weighing ${2 ** missing.length} fillings.`);
    await loaded(writer);
    const {probabilities} = await answer({do: 'posterior', model: writer, levels: inked(cells), missing});
    if (player.filling || cells.some((cell, pixel) => cell !== board.cells[pixel])) return;  // another by now
    const best = [...probabilities.keys()].sort((one, other) => probabilities[other] - probabilities[one]);
    const shares = best.slice(0, BARS).map(number => bar(cells, missing, number, probabilities[number]));
    bars.replaceChildren(...shares);
    player.say(`The likeliest of ${best.length} fillings has ${percent(probabilities[best[0]])}.`);
  };
  const weigh = button('Weigh all fillings', () => weighing().catch(error => player.say(error.message)), {
    title: `of 1 to ${MOST_WEIGHED} hidden pixels`,
  });

  take(digits[0], 0);
  hide(lower);
  const settings = [
    labelled('brush', brush.control, brush.told),
    labelled('temperature', temperature.control, temperature.told),
    labelled('seed', seed),
    ...filler ? [labelled('order of the hole', order)] : [],
  ];
  return [
    make('div', {}, board.canvas, player.element),
    make('div', {}, offered.element, painting, holes, make('div', {className: 'settings'}, ...settings),
      make('div', {className: 'map'}, canvas, make('div', {}, told, pointed)),
      make('div', {className: 'row'}, weigh), bars),
  ];
};
