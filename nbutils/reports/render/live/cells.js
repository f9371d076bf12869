// One unit of a GRU or an LSTM, as torch has them: its gates by hand, its state over time. It needs no weights.

const sigmoid = value => 1 / (1 + Math.exp(-value));
const CELLS = {
  gru: {
    gates: {r: 'reset gate', z: 'update gate (keeps)'},
    step: ({h}, x, g) => {
      const z = sigmoid(g.z + g.zx * x), n = Math.tanh(g.b + g.w * x + sigmoid(g.r) * g.u * h);
      return {h: (1 - z) * n + z * h};
    },
  },
  lstm: {
    gates: {i: 'input gate', f: 'forget gate (keeps)', o: 'output gate'},
    step: ({h, c}, x, g) => {
      const cell = sigmoid(g.f) * c + sigmoid(g.i) * Math.tanh(g.b + g.w * x + g.u * h);
      return {c: cell, h: sigmoid(g.o + g.ox * x) * Math.tanh(cell)};
    },
  },
};
const USUAL = {r: 0, z: 0, zx: 0, i: 0, f: 0, o: 0, ox: 0, w: 1, u: 0, b: 0, start: 0};
const INPUTS = {
  random: ['random numbers', (t, lot) => lot()], wave: ['a wave', t => Math.sin(t / 6)], impulse: ['one impulse', t => t === 5 ? 1 : 0],
  steps: ['up and down', t => Math.floor(t / 20) % 2 ? -1 : 1], nothing: ['nothing', () => 0],
};
// What the report builds from gates; `of` is what the output is held against.
const BUILT = [
  ['Output the input', {cell: 'gru', z: -60, w: 0.1, input: 'wave', amplitude: 2}, 'The gate that keeps is shut and the input made small: ten times the output is nearly the input.', {of: (x, g) => g.w * x, called: 'input, shrunk'}],
  ['Hold the state (GRU)', {cell: 'gru', z: 10, start: 0.5, input: 'random', amplitude: 1}, 'The gate that keeps is open: how far does one half drift? Try 2, 5 and 20.', {of: () => 0.5, called: 'the start'}],
  ['Hold the state (LSTM)', {cell: 'lstm', f: 10, i: -10, o: 60, start: 0.5, input: 'random', amplitude: 1}, 'The forget gate is open, the input gate shut.', {of: () => Math.tanh(0.5), called: 'the start'}],
  ['σ(x), as stated', {cell: 'lstm', f: -60, i: -60, b: 60, w: 0, ox: 1, input: 'wave', amplitude: 2}, 'With both gates shut the cell is empty, and nothing comes out.', {of: x => sigmoid(x), called: 'σ(x)'}],
  ['σ(x), repaired', {cell: 'lstm', f: -60, i: 60, b: 60, w: 0, ox: 1, input: 'wave', amplitude: 2}, 'With the input gate open and a candidate of 1 it is tanh(1) σ(x).', {of: x => Math.tanh(1) * sigmoid(x), called: 'tanh(1) σ(x)'}],
  ['A GRU that no LSTM follows', {cell: 'gru', z: 0, w: 1, input: 'steps', amplitude: 3}, 'Half of the state is kept and half is new.', null],
];
const TIMES = 100;

const cellsPanel = figure => {
  const controls = {}, said = make('p', {className: 'status-line', role: 'status'});
  let against = null;
  const kind = make('select', {}, ...options([['gru', 'GRU'], ['lstm', 'LSTM']])), input = make('select', {}, ...options(Object.entries(INPUTS).map(([name, [text]]) => [name, text])));
  const amplitude = slider(0, 5, 0.1, 1, () => draw());
  const knob = (name, text, least, most, step) => {
    const made = slider(least, most, step, USUAL[name], () => draw());
    controls[name] = Object.assign(labelled(text, made.control, made.told), {knob: made});
    return controls[name];
  };
  const gates = ['gru', 'lstm'].flatMap(cell => Object.entries(CELLS[cell].gates).map(([name, text]) => Object.assign(knob(name, `${text}: bias`, -60, 60, 1), {of: cell})));
  gates.push(Object.assign(knob('ox', 'output gate: weight of the input', -3, 3, 0.1), {of: 'lstm'}));
  const others = [knob('w', 'candidate: weight of the input', -3, 3, 0.1), knob('u', 'candidate: weight of its output', -3, 3, 0.1), knob('b', 'candidate: bias', -60, 60, 1), knob('start', 'state at the beginning', -1, 1, 0.1)];
  const values = () => ({...USUAL, ...Object.fromEntries(Object.entries(controls).map(([name, label]) => [name, +label.knob.control.value]))});
  const plot = make('div', {className: 'plot'});

  const run = () => {
    const g = values(), {step} = CELLS[kind.value], size = +amplitude.control.value, rows = [];
    let state = {h: kind.value === 'gru' ? g.start : sigmoid(g.o) * Math.tanh(g.start), c: g.start}, seed = 1;
    const lot = () => { seed = (seed * 16807) % 2147483647; return 2 * seed / 2147483647 - 1; };  // Park and Miller
    for (let t = 0; t < TIMES; t++) {
      const x = size * INPUTS[input.value][1](t, lot);
      state = step(state, x, g);
      rows.push({x, ...state, of: against?.of(x, g)});
    }
    return rows;
  };
  const draw = () => {
    for (const gate of gates) gate.hidden = gate.of !== kind.value;
    const rows = run(), lines = [['x', 'input'], ...kind.value === 'lstm' ? [['c', 'cell']] : [], ...against ? [['of', against.called]] : [], ['h', 'output']];
    const most = Math.max(1, ...lines.flatMap(([name]) => rows.map(row => Math.abs(row[name]))));
    const at = (t, value) => `${(40 + t / (TIMES - 1) * 550).toFixed(1)},${(100 - value / most * 88).toFixed(1)}`;
    const path = ([name]) => `<polyline class="line-${name}" points="${rows.map((row, t) => at(t, row[name])).join(' ')}"/>`;
    const rule = value => `<line class="rule" x1="40" x2="590" y1="${100 - value / most * 88}" y2="${100 - value / most * 88}"/><text x="34" y="${104 - value / most * 88}" text-anchor="end">${value.toFixed(1)}</text>`;
    const end = rows[TIMES - 1], last = `After ${TIMES} steps the output is ${end.h.toPrecision(4)}`;
    const off = against ? Math.max(...rows.map(row => Math.abs(row.h - row.of))) : null;
    const text = `${last}${off === null ? '.' : `; from ${against.called} it was off by ${off.toPrecision(2)} at most.`}`;
    plot.innerHTML = `<svg viewBox="0 0 600 200" role="img" aria-label="Input and state over ${TIMES} steps">${[most, 0, -most].map(rule).join('')}${lines.map(path).join('')}</svg>`
      + `<p class="legend">${lines.map(([name, called]) => `<span class="key-${name}">${called}</span>`).join(' ')}</p>`;
    said.textContent = text;
    figure.dataset.output = end.h;
  };
  const set = (name, value) => {
    const {control, told} = name === 'amplitude' ? amplitude : controls[name].knob;
    control.value = value;
    told.textContent = control.value;
  };
  const about = make('p', {className: 'about'});
  const built = make('div', {className: 'row', role: 'group', 'aria-label': 'Constructions of the report'});
  const build = ([, sets, text, held], place) => {
    const given = {...USUAL, ...sets};
    for (const name of Object.keys(controls)) set(name, given[name]);
    set('amplitude', given.amplitude);
    [kind.value, input.value, about.textContent, against] = [given.cell, given.input, text, held];
    [...built.children].forEach((one, number) => one.setAttribute('aria-pressed', number === place));
    draw();
  };
  BUILT.forEach((one, place) => built.append(button(one[0], () => build(one, place))));
  for (const choice of [kind, input]) choice.addEventListener('change', () => { if (choice === kind) against = null; draw(); });

  build(BUILT[1], 1);
  const left = make('div', {}, plot, said);
  const right = make('div', {}, built, about, make('div', {className: 'settings'}, labelled('cell', kind), labelled('input', input), labelled('size of the input', amplitude.control, amplitude.told), ...gates, ...others));
  return [left, right];
};
