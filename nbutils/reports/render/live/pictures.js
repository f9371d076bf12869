// In-painting: a picture, a hole in it, words; the net fills the hole, and says how unsure it is and what it
// listens to.

const ORDERS = [
  ['orderless', 'in random order'],
  ['greedy', 'surest first (greedy)'],
  ['antigreedy', 'most doubtful first (antigreedy)'],
  ['halton', 'spread out (Halton)'],
  ['top_probability', 'likeliest level first'],
  ['margin', 'largest lead first (margin)'],
  ['maskgit', 'keep the likeliest drawn (MaskGIT)'],
  ['remdm', 'with second thoughts (ReMDM)'],
  ['independent_gibbs', 'noise, redrawn (annealed Gibbs)'],
  ['ancestral_gibbs', 'redrawn one by one (ancestral Gibbs)'],
  ['informed_gibbs', 'redraw the least likely (informed)'],
];
const COLOURS = [0, 1, 2], HIDDEN_GREY = 128, LARGEST_SEED = 2 ** 31 - 1, MOST_STEPS = 9999;
const NO_HOLE = 'Nothing is hidden yet: drag over the picture.';
const isGibbs = strategy => strategy.endsWith('gibbs');
const inSteps = strategy => strategy === 'remdm' || isGibbs(strategy);
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt());

const picturesPanel = (figure, {model, size, pictures, captions}) => {
  const count = size * size, given = pictures.map(bytes), close = near(figure);
  let image = given[0], listened = null;

  // -- what is seen: the picture with its hole, or a moment of a filling
  const rgb = (levels, pixel) => COLOURS.map(channel => levels[channel * count + pixel]);
  const seen = filling => pixel => {
    if (!filling) return board.cells[pixel] ? Array(3).fill(HIDDEN_GREY) : rgb(image, pixel);
    const hidden = rgb(filling.hidden, pixel);
    return rgb(filling.levels, pixel).map((level, channel) => hidden[channel] ? HIDDEN_GREY : level);
  };
  const board = new Board(size, `Picture, ${size} by ${size} pixels. Arrow keys move, the space bar paints.`, {
    look: () => picture(size, seen(player.filling)),
    changed: begins => begins ? player.forget() : refresh(),
    say: text => player.say(text),
    spoken: pixel => board.cells[pixel] ? 'hidden' : 'shown',
  });
  const player = new Player(figure, [['Fill', () => begin()]], {
    show: () => {
      board.draw();
      map();
    },
    pixels: filling => picture(size, seen(filling)),
    keep: () => {
      const {levels, hidden} = player.filling;  // what is not drawn yet stays hidden
      image = levels.slice();
      hide((x, y) => rgb(hidden, y * size + x).some(Boolean));
    },
  });
  const inside = () => 3 * board.cells.reduce((sum, cell) => sum + cell, 0);
  const refresh = () => {
    board.draw();
    if (!player.filling) player.say(inside() ? `${counted(inside())} values are hidden.` : NO_HOLE);
    map();
  };

  // -- the picture and the hole
  const drawn = given.map((levels, number) => [
    picture(size, pixel => rgb(levels, pixel)), `Picture ${number + 1}: ${captions[number].join(' ')}`,
  ]);
  const choose = number => {
    image = given[number];
    offered.mark(number);
    caption.value = captions[number].join('\n');
    player.forget();
    read();
    refresh();
  };
  const offered = shelf('Pictures that the net has not seen', drawn, choose);
  const hide = isHidden => {
    board.cells.set(board.cells.map((_, pixel) => isHidden(pixel % size, pixel / size | 0) ? 1 : 0));
    player.forget();
    refresh();
  };
  const central = place => place >= size / 4 && place < size * 3 / 4;
  const middle = (x, y) => central(x) && central(y);
  const painting = tools(board, [
    ['Drag a square', {square: true, value: 1}],
    ['Paint the hole', {square: false, value: 1}],
    ['Give back', {square: false, value: 0}],
  ]);
  const holes = row('Holes at once',
    button('Middle', () => hide(middle)),
    button('Lower half', () => hide((x, y) => y >= size / 2)),
    button('Everything', () => hide(() => true)),
    button('No hole', () => hide(() => false)));
  const brush = slider(1, 9, 1, board.brush, value => {
    board.brush = value;
    board.draw();
  });

  // -- the words, as the net reads them
  const caption = make('textarea', {rows: 2, spellcheck: false, 'aria-label': 'Caption'});
  const unknowns = make('p', {className: 'unknowns', role: 'status'});
  const chips = row('The words as the net reads them');
  chips.classList.add('chips');
  const sentences = () => caption.value.split('\n').filter(line => line.trim());
  const chip = (word, isKnown, place) => button(word === '<separator>' ? '|' : word, () => listen(place), {
    className: isKnown ? 'chip' : 'chip unknown',
    title: isKnown ? 'Where is it listened to?' : 'Not in the vocabulary: read as the unknown word',
    'aria-pressed': 'false',
  });
  const read = latest(async () => {
    await close.then(() => loaded(model));
    const {words, numbers} = await answer({do: 'words', model, caption: sentences()});
    const unknown = [...new Set(words.filter((_, place) => numbers[place] === 1))];
    listened = null;
    chips.replaceChildren(...words.map((word, place) => chip(word, numbers[place] !== 1, place)));
    unknowns.textContent = unknown.length ? `Unknown to the net: ${unknown.join(', ')}` : '';
    map();
  }, error => player.say(error.message));
  caption.addEventListener('input', () => read());

  // -- maps, on demand
  const canvas = mapCanvas(size, 'Map'), told = make('p');
  const mapped = make('div', {className: 'map', hidden: true}, canvas, told);
  const isUnsure = () => doubt.getAttribute('aria-pressed') === 'true';
  const doubt = button('How unsure?', () => {
    doubt.setAttribute('aria-pressed', !isUnsure());
    listen(null);
  }, {'aria-pressed': 'false'});
  const listen = place => {
    listened = place === listened ? null : place;
    press([...chips.children], chips.children[listened]);
    if (listened !== null) doubt.setAttribute('aria-pressed', 'false');
    mapping();
  };
  const asked = () => {  // what the net sees of what is shown
    const now = player.filling, levels = (now ? now.levels : image).slice();
    const known = levels.map((_, place) => 1 - (now ? now.hidden[place] : board.cells[place % count]));
    return {model, levels, known, caption: sentences()};
  };
  const show = (value, say) => {
    const values = Float32Array.from({length: count}, (_, pixel) => value(pixel)), most = Math.max(...values);
    put(canvas, picture(size, pixel => heat(values[pixel] / most)));
    told.textContent = say(most);
    canvas.setAttribute('aria-label', told.textContent);
    mapped.hidden = false;
  };
  const mapping = latest(async () => {
    mapped.hidden = !isUnsure() && listened === null;
    if (mapped.hidden) return;
    await loaded(model);
    if (isUnsure()) {
      const request = asked(), before = player.filling?.bits.slice() ?? new Float32Array(3 * count);
      const {bits} = await answer({do: 'entropies', ...request});
      const all = bits.map((now, place) => request.known[place] ? before[place] : now);
      show(pixel => rgb(all, pixel).reduce((sum, one) => sum + one), most =>
        `Bits of doubt: now where it is hidden, when drawn elsewhere. Bright: ${most.toFixed(1)} a pixel.`);
    } else {
      const place = listened, {weights, words} = await answer({do: 'attention', ...asked()});
      const share = pixel => weights.reduce((sum, layer) => sum + layer[pixel * words.length + place], 0);
      if (place < words.length) show(pixel => share(pixel) / weights.length, most =>
        `Where “${words[place]}” is listened to. Bright: ${percent(most)} of a pixel's attention.`);
    }
  }, error => player.say(error.message));
  const map = seldom(player, mapping);

  // -- the way
  const order = make('select', {}, ...options(ORDERS)), temperature = slider(0, 1.5, 0.05, 1);
  const usual = size > 32 ? 48 : 0;  // of rounds; one by one a large picture takes minutes
  const rounds = numeric(MOST_STEPS), seed = numeric(LARGEST_SEED), alpha = slider(0.01, 0.5, 0.01, 0.02);
  const roundsLabel = labelled('', rounds), alphaLabel = labelled('last block', alpha.control, alpha.told);
  const fit = () => {
    roundsLabel.firstChild.textContent = inSteps(order.value) ? 'steps' : 'rounds (0: one by one)';
    rounds.value = inSteps(order.value) ? 100 : order.value === 'maskgit' ? 24 : usual;
    alphaLabel.hidden = !isGibbs(order.value);
  };
  order.addEventListener('change', fit);
  const begin = () => {
    const strategy = order.value, stepped = inSteps(strategy);
    if (!inside()) return NO_HOLE;
    const known = image.map((_, place) => 1 - board.cells[place % count]);
    const many = whole(rounds, stepped ? 1 : 0, stepped ? MOST_STEPS : inside());
    const how = {
      rounds: stepped ? null : many || null,
      steps: stepped ? many : null,
      schedule: {alpha_max: 0.9, alpha_min: +alpha.control.value, eta: 0.7},
      remasking: strategy === 'remdm' ? 0.5 : 0,
      temperature: +temperature.control.value,
      seed: whole(seed, 0, LARGEST_SEED),
    };
    return {
      filling: new Filling(image, known.map(one => 1 - one), !isGibbs(strategy)),
      request: {do: 'fill', model, levels: image.slice(), known, caption: sentences(), strategy, ...how},
    };
  };

  fit();
  choose(0);
  hide(middle);
  const settings = [labelled('order', order), labelled('temperature', temperature.control, temperature.told)];
  return [
    make('div', {}, board.canvas, player.element),
    make('div', {}, offered.element, painting, holes,
      make('div', {className: 'settings'}, labelled('brush', brush.control, brush.told)),
      make('label', {className: 'caption'}, make('span', {}, 'caption, a sentence on each line'), caption),
      chips, unknowns,
      make('div', {className: 'settings'}, ...settings, roundsLabel, alphaLabel, labelled('seed', seed)),
      make('div', {className: 'row'}, doubt), mapped),
  ];
};
