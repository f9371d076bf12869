// One unit of a GRU or an LSTM, as torch has them: its gates by hand, its state over time. It needs no weights.

const sigmoid = value => 1 / (1 + Math.exp(-value));
const CELLS = {
  gru: {
    gates: {r: 'reset gate', z: 'update gate (keeps)'},
    begin: ({start}) => ({h: start}),
    step: ({h}, x, g) => {
      const z = sigmoid(g.z), n = Math.tanh(g.b + g.w * x + sigmoid(g.r) * g.u * h);
      return {h: (1 - z) * n + z * h};
    },
  },
  lstm: {
    gates: {i: 'input gate', f: 'forget gate (keeps)', o: 'output gate'},
    begin: ({start, o}) => ({c: start, h: sigmoid(o) * Math.tanh(start)}),
    step: ({h, c}, x, g) => {
      const now = sigmoid(g.f) * c + sigmoid(g.i) * Math.tanh(g.b + g.w * x + g.u * h);
      return {c: now, h: sigmoid(g.o + g.v * x) * Math.tanh(now)};
    },
  },
};
// What is moved by hand: name, words, least, most, step; those of one cell alone say which.
const KNOBS = [
  ...Object.entries(CELLS).flatMap(([cell, {gates}]) =>
    Object.entries(gates).map(([name, text]) => [name, `${text}: bias`, -60, 60, 1, cell])),
  ['v', 'output gate: weight of the input', -3, 3, 0.1, 'lstm'],
  ['w', 'candidate: weight of the input', -3, 3, 0.1],
  ['u', 'candidate: weight of its output', -3, 3, 0.1],
  ['b', 'candidate: bias', -60, 60, 1],
  ['start', 'state at the beginning', -1, 1, 0.1],
  ['amplitude', 'size of the input', 0, 5, 0.1],
];
const USUAL = {r: 0, z: 0, i: 0, f: 0, o: 0, v: 0, w: 1, u: 0, b: 0, start: 0, amplitude: 1};
const INPUTS = {
  random: ['random numbers', (t, lot) => lot()],
  wave: ['a wave', t => Math.sin(t / 6)],
  impulse: ['one impulse', t => t === 5 ? 1 : 0],
  steps: ['up and down', t => Math.floor(t / 20) % 2 ? -1 : 1],
  nothing: ['nothing', () => 0],
};
// What the report builds from gates: its name, what it sets, what it says, what the output is held against.
const EMPTY = {cell: 'lstm', f: -60, i: -60, b: 60, w: 0, v: 1, input: 'wave', amplitude: 2};
const BUILT = [
  ['Output the input', {cell: 'gru', z: -60, w: 0.1, input: 'wave', amplitude: 2},
    'The gate that keeps is shut and the input made small: ten times the output is nearly the input.',
    ['the input, a tenth', (x, g) => g.w * x]],
  ['Hold the state (GRU)', {cell: 'gru', z: 10, start: 0.5, input: 'random'},
    'The gate that keeps is open: how far does one half drift? Try 2, 5 and 20.', ['the start', () => 0.5]],
  ['Hold the state (LSTM)', {cell: 'lstm', f: 10, i: -10, o: 60, start: 0.5, input: 'random'},
    'The forget gate is open, the input gate shut.', ['the start', () => Math.tanh(0.5)]],
  ['σ(x), as stated', EMPTY, 'With both gates shut the cell is empty, and nothing comes out.',
    ['σ(x)', sigmoid]],
  ['σ(x), repaired', {...EMPTY, i: 60}, 'With the input gate open and a candidate of 1 it is tanh(1) σ(x).',
    ['tanh(1) σ(x)', x => Math.tanh(1) * sigmoid(x)]],
  ['A GRU that no LSTM follows', {cell: 'gru', input: 'steps', amplitude: 3},
    'Half of the state is kept and half is new.', null],
];
const TIMES = 100;

const cellsPanel = figure => {
  const said = make('p', {className: 'status-line', role: 'status'}), about = make('p');
  const plot = make('div', {className: 'plot'});
  let held = null;
  const kind = make('select', {}, ...options([['gru', 'GRU'], ['lstm', 'LSTM']]));
  const input = make('select', {}, ...options(Object.entries(INPUTS).map(([name, [text]]) => [name, text])));
  const knobs = KNOBS.map(([name, text, least, most, step, cell]) => {
    const {control, told} = slider(least, most, step, USUAL[name], () => draw());
    return {name, cell, control, told, label: labelled(text, control, told)};
  });

  const run = () => {
    const g = Object.fromEntries(knobs.map(({name, control}) => [name, +control.value])), rows = [];
    let state = CELLS[kind.value].begin(g), seed = 1;
    const lot = () => {  // Park and Miller 1988, between -1 and 1
      seed = seed * 16807 % 2147483647;
      return 2 * seed / 2147483647 - 1;
    };
    for (let t = 0; t < TIMES; t++) {
      const x = g.amplitude * INPUTS[input.value][1](t, lot);
      state = CELLS[kind.value].step(state, x, g);
      rows.push({x, ...state, of: held?.[1](x, g)});
    }
    return rows;
  };
  const draw = () => {
    for (const {cell, label} of knobs) label.hidden = Boolean(cell) && cell !== kind.value;
    const lines = {x: 'input', ...kind.value === 'lstm' && {c: 'cell'}, ...held && {of: held[0]}, h: 'output'};
    const rows = run(), names = Object.keys(lines), end = rows[TIMES - 1].h;
    const most = Math.max(1, ...names.flatMap(name => rows.map(row => Math.abs(row[name]))));
    const across = t => (40 + t / (TIMES - 1) * 550).toFixed(1);
    const up = value => (100 - value / most * 88).toFixed(1);
    const path = name => rows.map((row, t) => `${across(t)},${up(row[name])}`).join(' ');
    const rule = value => `<line class="rule" x1="40" x2="590" y1="${up(value)}" y2="${up(value)}"/>`
      + `<text x="36" y="${up(value)}" dy=".35em" text-anchor="end">${value.toFixed(1)}</text>`;
    const drawn = [most, 0, -most].map(rule).join('')
      + names.map(name => `<polyline class="line-${name}" points="${path(name)}"/>`).join('');
    const legend = names.map(name => `<span class="key-${name}">${lines[name]}</span>`).join(' ');
    plot.innerHTML = `<svg viewBox="0 0 600 200" role="img" aria-label="Input and state over ${TIMES} steps">`
      + `${drawn}</svg><p class="legend">${legend}</p>`;
    const off = held && Math.max(...rows.map(row => Math.abs(row.h - row.of))).toPrecision(2);
    said.textContent = `After ${TIMES} steps the output is ${end.toPrecision(4)}`
      + (held ? `; from ${held[0]} it was off by ${off} at most.` : '.');
    figure.dataset.output = end;
  };

  const buttons = BUILT.map(([name], place) => button(name, () => build(place)));
  const build = place => {
    const [, sets, text, against] = BUILT[place], given = {...USUAL, ...sets};
    for (const {name, control, told} of knobs) told.textContent = control.value = given[name];
    [kind.value, input.value, about.textContent, held] = [given.cell, given.input, text, against];
    press(buttons, buttons[place]);
    draw();
  };
  input.addEventListener('change', draw);
  kind.addEventListener('change', () => {
    held = null;  // it was built of the other cell
    draw();
  });

  build(1);
  const settings = [labelled('cell', kind), labelled('input', input), ...knobs.map(({label}) => label)];
  return [
    make('div', {}, plot, said),
    make('div', {}, row('Constructions of the report', ...buttons), about,
      make('div', {className: 'settings'}, ...settings)),
  ];
};
