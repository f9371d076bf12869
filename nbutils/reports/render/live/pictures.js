// In-painting: a picture, a hole in it, words; the net fills the hole, and says how unsure it is and what it listens to.

const ORDERS = [
  ['orderless', 'in random order'], ['greedy', 'surest first (greedy)'], ['antigreedy', 'most doubtful first (antigreedy)'],
  ['halton', 'spread out (Halton)'], ['top_probability', 'likeliest level first'], ['margin', 'largest lead first (margin)'],
  ['maskgit', 'keep the likeliest drawn (MaskGIT)'], ['remdm', 'with second thoughts (ReMDM)'],
  ['independent_gibbs', 'noise, redrawn (annealed Gibbs)'], ['ancestral_gibbs', 'redrawn one by one (ancestral Gibbs)'],
  ['informed_gibbs', 'redraw the least likely (informed)'],
];
const inSteps = strategy => strategy === 'remdm' || strategy.endsWith('gibbs');

const picturesPanel = (figure, {model, size, pictures, captions}) => {
  const count = size * size, given = pictures.map(text => Uint8Array.from(atob(text), letter => letter.charCodeAt()));
  let image = given[0], words = [], listened = null;

  // -- what is seen
  const state = () => player.filling;
  const colour = filling => pixel => [0, 1, 2].map(channel => {
    const place = channel * count + pixel;
    if (filling) return filling.hidden[place] ? 128 : filling.levels[place];
    return board.cells[pixel] ? 128 : image[place];
  });
  const board = new Board(size, `Picture with a hole, ${size} by ${size} pixels. Arrow keys move, the space bar paints.`, {
    look: () => picture(size, colour(state())),
    changed: begins => {
      if (begins) player.forget();
      else seen();
    },
    say: text => player.say(text),
    spoken: pixel => board.cells[pixel] ? 'hidden' : 'shown',
  });
  const holeSize = () => board.cells.reduce((sum, cell) => sum + cell, 0);
  const seen = () => {
    board.draw();
    if (!state()) player.say(holeSize() ? `${(3 * holeSize()).toLocaleString('en')} values are hidden.` : 'Nothing is hidden yet: drag over the picture.');
    map();
  };
  const player = new Player(figure, [['Fill', () => begin()]], {
    show: () => { board.draw(); map(); },
    pixels: filling => picture(size, colour(filling)),
    keep: () => {
      image = state().levels.slice();
      board.cells.fill(0);
      player.forget();
      seen();
    },
  });

  // -- the picture and the hole
  const shelf = make('div', {className: 'row shelf', role: 'group', 'aria-label': 'Pictures that the net has not seen'});
  const choose = number => {
    image = given[number];
    [...shelf.children].forEach((one, place) => one.setAttribute('aria-pressed', place === number));
    caption.value = captions[number].join('\n');
    player.forget();
    read();
    seen();
  };
  given.forEach((levels, number) => {
    const canvas = make('canvas', {width: size, height: size});
    put(canvas, picture(size, pixel => [0, 1, 2].map(channel => levels[channel * count + pixel])));
    shelf.append(button('', () => choose(number), {'aria-label': `Picture ${number + 1}: ${captions[number].join(' ')}`}));
    shelf.lastChild.append(canvas);
  });
  const hide = inside => {
    for (let pixel = 0; pixel < count; pixel++) board.cells[pixel] = inside(pixel % size, pixel / size | 0) ? 1 : 0;
    player.forget();
    seen();
  };
  const middle = place => place >= size / 4 && place < size * 3 / 4;
  const painting = tools(board, [['Drag a square', {square: true, value: 1}], ['Paint the hole', {square: false, value: 1}], ['Give back', {square: false, value: 0}]]);
  const wholes = make('div', {className: 'row', role: 'group', 'aria-label': 'Holes at once'},
    button('Middle', () => hide((x, y) => middle(x) && middle(y))), button('Lower half', () => hide((x, y) => y >= size / 2)),
    button('Everything', () => hide(() => true)), button('No hole', () => hide(() => false)));
  const brush = slider(1, 9, 1, board.brush, value => { board.brush = value; board.draw(); });

  // -- the words
  const caption = make('textarea', {rows: 2, spellcheck: false, 'aria-label': 'Caption, a sentence on each line'});
  const chips = make('div', {className: 'row chips', role: 'group', 'aria-label': 'The words as the net reads them'});
  const sentences = () => caption.value.split('\n').filter(line => line.trim());
  const read = latest(async () => {
    await loaded(model);
    const heard = await answer({do: 'words', model, caption: sentences()});
    words = heard.words.map((text, place) => ({text, known: heard.numbers[place] !== 1}));
    listened = null;
    const unknown = [...new Set(words.filter(one => !one.known).map(one => one.text))];
    chips.replaceChildren(...words.map((one, place) => button(one.text === '<separator>' ? '|' : one.text, () => listen(place), {
      className: one.known ? 'chip' : 'chip unknown', 'aria-pressed': 'false', title: one.known ? 'Where is it listened to?' : 'Not in the vocabulary: read as the unknown word',
    })));
    unknowns.textContent = unknown.length ? `Unknown to the net: ${unknown.join(', ')}` : '';
    map();
  }, error => player.say(error.message));
  const unknowns = make('p', {className: 'unknowns', role: 'status'});
  caption.addEventListener('input', () => read());

  // -- maps, on demand
  const canvas = make('canvas', {width: size * SCALE / 2, height: size * SCALE / 2, role: 'img', 'aria-label': 'Map'}), told = make('p');
  const mapped = make('div', {className: 'map', hidden: true}, canvas, told);
  const doubt = button('How unsure?', () => {
    doubt.setAttribute('aria-pressed', doubt.getAttribute('aria-pressed') !== 'true');
    listen(null);
  }, {'aria-pressed': 'false'});
  const listen = place => {
    listened = place === listened ? null : place;
    [...chips.children].forEach((one, number) => one.setAttribute('aria-pressed', number === listened));
    if (listened !== null) doubt.setAttribute('aria-pressed', 'false');
    map();
  };
  const asked = () => {  // the net's view of what is shown
    const now = state(), levels = now ? now.levels.slice() : image.slice(), known = new Uint8Array(3 * count);
    for (let place = 0; place < known.length; place++) known[place] = now ? 1 - now.hidden[place] : 1 - board.cells[place % count];
    return {model, levels, known, caption: sentences()};
  };
  const draw = (values, text) => {
    const most = Math.max(...values);
    put(canvas, picture(size, pixel => heat(values[pixel] / most)));
    canvas.setAttribute('aria-label', text);
    told.textContent = text;
    mapped.hidden = false;
  };
  const mapping = latest(async () => {
    const unsure = doubt.getAttribute('aria-pressed') === 'true';
    mapped.hidden = !unsure && listened === null;
    if (mapped.hidden) return;
    await loaded(model);
    if (unsure) {
      const given = asked(), {bits} = await answer({do: 'entropies', ...given}), now = state();
      const values = Float32Array.from({length: count}, (_, pixel) => [0, 1, 2].reduce((sum, channel) => {
        const place = channel * count + pixel;
        return sum + (given.known[place] ? now ? now.bits[place] : 0 : bits[place]);
      }, 0));
      draw(values, `Bits of doubt a pixel, now where it is hidden, when drawn elsewhere: bright is ${Math.max(...values).toFixed(1)}.`);
    } else {
      const place = listened, {weights, words: heard} = await answer({do: 'attention', ...asked()});
      if (place >= heard.length) return;
      const values = Float32Array.from({length: count}, (_, pixel) => weights.reduce((sum, layer) => sum + layer[pixel * heard.length + place], 0) / weights.length);
      draw(values, `Where “${heard[place]}” is listened to: bright is ${(100 * Math.max(...values)).toFixed(0)} % of a pixel's attention.`);
    }
  }, error => player.say(error.message));
  const map = seldom(player, mapping);

  // -- the way
  const order = make('select', {}, ...options(ORDERS));
  const temperature = slider(0, 1.5, 0.05, 1);
  const rounds = make('input', {type: 'number', min: 0, max: 9999, value: 0}), seed = make('input', {type: 'number', min: 0, max: 2 ** 31 - 1, value: 0});
  const roundsLabel = labelled('', rounds), alphas = slider(0.01, 0.5, 0.01, 0.02);
  const last = labelled('last block', alphas.control, alphas.told);
  const steps = () => {
    const gibbs = order.value.endsWith('gibbs');
    roundsLabel.firstChild.textContent = inSteps(order.value) ? 'steps' : 'rounds (0: one by one)';
    rounds.value = inSteps(order.value) ? 100 : order.value === 'maskgit' ? 24 : 0;
    last.hidden = !gibbs;
  };
  order.addEventListener('change', steps);
  const begin = () => {
    const known = new Uint8Array(3 * count), strategy = order.value, inside = 3 * holeSize();
    if (!inside) return 'Nothing is hidden yet: drag over the picture.';
    for (let place = 0; place < known.length; place++) known[place] = 1 - board.cells[place % count];
    const hole = known.map(one => 1 - one), asks = whole(rounds, inSteps(strategy) ? 1 : 0, inSteps(strategy) ? 9999 : inside);
    return {
      filling: new Filling(image, hole, !strategy.endsWith('gibbs')),
      request: {
        do: 'fill', model, levels: image.slice(), known, caption: sentences(), strategy, temperature: +temperature.control.value, seed: whole(seed, 0, 2 ** 31 - 1),
        rounds: inSteps(strategy) ? null : asks || null, steps: inSteps(strategy) ? asks : null,
        schedule: {alpha_max: 0.9, alpha_min: +alphas.control.value, eta: 0.7}, remasking: strategy === 'remdm' ? 0.5 : 0,
      },
    };
  };

  const left = make('div', {}, board.canvas, player.element);
  const right = make('div', {},
    shelf, painting, wholes, make('div', {className: 'settings'}, labelled('brush', brush.control, brush.told)),
    make('label', {className: 'caption'}, make('span', {}, 'caption, a sentence on each line'), caption), chips, unknowns,
    make('div', {className: 'settings'}, labelled('order', order), labelled('temperature', temperature.control, temperature.told), roundsLabel, last, labelled('seed', seed)),
    make('div', {className: 'row'}, doubt), mapped);
  steps();
  choose(0);
  hide((x, y) => middle(x) && middle(y));
  return [left, right];
};
