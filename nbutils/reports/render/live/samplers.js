// Filling holes by sampling, as nbutils/nade/sampling.py has it and with its random numbers, and what a GRU
// over pixels does. Every function here that takes long is a generator that yields often.

// By what a variable is chosen next, and whether the lowest or the highest comes first.
const BY_CONTENT = {
  greedy: [entropy, 1], antigreedy: [entropy, -1], top_probability: [doubt, 1], margin: [closeness, 1],
};

/** What has been drawn since it was last told. */
class News {
  constructor() { this.forget(); }

  forget() { this.index = []; this.levels = []; this.steps = []; this.bits = []; }

  add(index, level, step, bits) {
    this.index.push(index);
    this.levels.push(level);
    this.steps.push(step);
    this.bits.push(bits);
  }
}

/** One picture with a hole that is being filled; the fields of a request are told in worker.js. */
class Filling {
  constructor(net, request, news) {
    const usual = {
      temperature: 1, seed: 0, start: 'noise', rounds: null, steps: null, convention: 'resample',
      noise: 0, remasking: 0, redrawn: 0.25,
    };
    Object.assign(this, usual, request);
    this.schedule = { alpha_max: 0.9, alpha_min: 0.1, eta: 0.7, ...request.schedule };
    this.net = net;
    this.news = news;
    this.levels = net.config.levels;
    this.state = Int16Array.from(request.levels);
    this.unknown = Uint8Array.from(request.known, known => !known);
    this.hole = listed(this.unknown);  // flat indices, ascending
    this.draws = 0;
    if (this.start === 'black') for (const variable of this.hole) this.state[variable] = 0;
    if (this.start === 'noise') for (const variable of this.hole)
      this.state[variable] = Math.floor(this.uniform(START, 0, variable) * this.levels);
  }

  uniform(purpose, step, variable) {
    if (this.purpose !== purpose || this.step !== step) {
      [this.purpose, this.step] = [purpose, step];
      this.begun = Address.of(this.seed, purpose, 0, step);
    }
    return this.begun.at(variable).uniform;
  }

  /** Fill the hole; how many predictions had to wait for one another. */
  * run() {
    const { strategy, net } = this;
    if (!this.hole.length) return 0;
    this.picture = new Picture(net, yield* net.read(this.caption || []));
    if (Array.isArray(strategy)) return yield* this.inOrder(strategy);
    if (strategy === 'orderless') return yield* this.inOrder(this.shuffled(this.hole, 0));
    if (strategy === 'halton') return yield* this.inOrder(this.spreadOut());
    if (strategy in BY_CONTENT) return yield* this.byContent(...BY_CONTENT[strategy]);
    if (strategy === 'maskgit') return yield* this.drawnThenKept();
    if (strategy === 'remdm') return yield* this.remasked();
    const draw = {
      independent_gibbs: this.atOnce, ancestral_gibbs: this.oneByOne, informed_gibbs: this.leastProbable,
    };
    if (strategy in draw) return yield* this.gibbs(draw[strategy]);
    throw new Error(`strategy: ${strategy}; expected a name of a sampler or an order`);
  }

  /** Variables in a random order. */
  shuffled(variables, step) {
    const place = new Map(variables.map(variable => [variable, this.uniform(ORDER, step, variable)]));
    return [...variables].sort((a, b) => place.get(a) - place.get(b));
  }

  /** The hole in the Halton order: nbutils/nade/halton.py. */
  spreadOut() {
    const { size, area, config } = this.net, order = [], seen = new Uint8Array(area * config.channels);
    for (let number = 1, count = 0; count < seen.length; number++) {
      const place = (length, base) => Math.floor(length * mirrored(number, base));
      const variable = place(config.channels, 5) * area + place(size, 2) * size + place(size, 3);
      if (seen[variable]) continue;
      seen[variable] = 1;
      count++;
      if (this.unknown[variable]) order.push(variable);
    }
    return order;
  }

  /** How many variables every round draws: nearly as many in each. */
  blocks() {
    const count = this.hole.length, rounds = this.rounds ?? count;
    if (!(rounds >= 1 && rounds <= count))
      throw new Error(`rounds: ${rounds}; expected 1 to ${count}, the size of the hole`);
    return Array.from({ length: rounds }, (_, round) =>
      Math.floor(count * (round + 1) / rounds) - Math.floor(count * round / rounds));
  }

  /** Ancestral sampling in an order that does not depend on values. */
  * inOrder(order) {
    const blocks = this.blocks();
    let first = 0;
    for (const size of blocks) {
      const chosen = order.slice(first, first += size).sort((a, b) => a - b);
      yield* this.draw(0, chosen, this.draws++);
      for (const variable of chosen) this.unknown[variable] = 0;
    }
    return blocks.length;
  }

  /** Ancestral sampling of the variables with the lowest (sign 1) or highest (sign -1) measure next. */
  * byContent(measure, sign) {
    const blocks = this.blocks(), scores = new Float64Array(this.unknown.length);
    for (const size of blocks) {
      const among = listed(this.unknown), changed = new Uint8Array(this.net.area);
      yield* this.picture.refresh(this.state, this.unknown, among, changed);
      const anew = among.filter(variable => changed[variable % this.net.area]);
      yield* this.picture.predict(anew, (variable, logits, at) => {
        scores[variable] = sign * measure(logits, at, this.levels);
      });
      const chosen = lowest(scores, among, size);
      yield* this.draw(0, chosen, this.draws++);
      for (const variable of chosen) this.unknown[variable] = 0;
    }
    return blocks.length;
  }

  /** In every round draw all that is hidden, and keep the block whose drawn levels are likeliest (Chang et
   * al. 2022). */
  * drawnThenKept() {
    const blocks = this.blocks(), scores = new Float64Array(this.unknown.length);
    for (const [step, size] of blocks.entries()) {
      const among = listed(this.unknown), drawn = new Map();
      yield* this.picture.refresh(this.state, this.unknown, among);
      yield* this.picture.predict(among, (variable, logits, at) => {
        const level = this.level(step, variable, logits, at);
        drawn.set(variable, [level, entropy(logits, at, this.levels)]);
        scores[variable] = -logProbability(logits, at, this.levels, level);
      });
      if (this.noise) for (const variable of among) {
        const gumbel = -Math.log(-Math.log(this.uniform(CHOICE, step, variable)));
        scores[variable] -= this.noise * (1 - (step + 1) / blocks.length) * gumbel;
      }
      for (const variable of lowest(scores, among, size)) {
        this.put(variable, drawn.get(variable)[0], step, drawn.get(variable)[1]);
        this.unknown[variable] = 0;
      }
    }
    return blocks.length;
  }

  /** Rounds in which what was drawn may be hidden again (Wang et al. 2025). */
  * remasked() {
    const rounds = this.steps ?? this.hole.length;
    let evaluations = 0;
    for (let step = 0; step < rounds; step++) {
      const before = step / rounds, after = Math.min(1, (step + 1) / rounds);
      const again = before > 0 ? this.remasking * Math.min(1, (1 - after) / before) : 0;
      const drawn = (after - (1 - again) * before) / Math.max(1e-12, 1 - before);
      const struck = this.hole.map(variable => this.uniform(BLOCK, step, variable));
      const chosen = this.hole.filter((variable, place) => this.unknown[variable] && struck[place] < drawn);
      const hide = this.hole.filter((variable, place) => !this.unknown[variable] && struck[place] < again);
      evaluations += chosen.length > 0;
      yield* this.draw(step, chosen, step);
      for (const variable of chosen) this.unknown[variable] = 0;
      for (const variable of hide) {
        this.unknown[variable] = 1;
        this.news.add(variable, -1, step, 0);
      }
    }
    return evaluations;
  }

  /** Resample random blocks, from the full hole, as many as the annealed schedule says (Yao et al. 2014). */
  * gibbs(draw) {
    const steps = this.steps ?? this.hole.length, { alpha_max: most, alpha_min: least, eta } = this.schedule;
    if (!(least >= 0 && least <= most && most <= 1 && eta > 0))
      throw new Error('schedule: expected 0 <= alpha_min <= alpha_max <= 1 and eta > 0');
    const keep = this.convention === 'keep';
    let evaluations = 0;
    this.unknown.fill(0);
    for (let step = 0; step < steps; step++) {
      const alpha = Math.max(least, most - step / steps * (most - least) / eta);
      const block = this.hole.filter(variable => (this.uniform(BLOCK, step, variable) < alpha) !== keep);
      if (!block.length) yield;
      else evaluations += yield* draw.call(this, step, block);
    }
    return evaluations;
  }

  /** All of a block, given the rest. */
  * atOnce(step, block) {
    for (const variable of block) this.unknown[variable] = 1;
    yield* this.draw(step, block, step);
    this.unknown.fill(0);
    return 1;
  }

  /** A block's variables one after the other, in a random order. */
  * oneByOne(step, block) {
    for (const variable of block) this.unknown[variable] = 1;
    for (const variable of this.shuffled(block, step)) {
      yield* this.draw(step, [variable], step);
      this.unknown[variable] = 0;
    }
    return block.length;
  }

  /** Of a block what is least probable given the rest, all at once (after Zhao et al. 2024 and Peng et al.
   * 2025). */
  * leastProbable(step, block) {
    const scores = new Float64Array(this.unknown.length), { fround } = Math;
    for (const variable of block) this.unknown[variable] = 1;
    yield* this.picture.refresh(this.state, this.unknown, block);
    yield* this.picture.predict(block, (variable, logits, at) => {
      scores[variable] = logProbability(logits, at, this.levels, this.state[variable]);
    });
    const count = Math.ceil(fround(fround(this.redrawn) * block.length));
    yield* this.draw(step, lowest(scores, block, count), step);
    this.unknown.fill(0);
    return 1;
  }

  /** Draw the variables `chosen`, ascending, given all that are not unknown; told as of the draw or step
   * `number`. */
  * draw(step, chosen, number) {
    yield* this.picture.refresh(this.state, this.unknown, chosen);
    yield* this.picture.predict(chosen, (variable, logits, at) => {
      this.put(variable, this.level(step, variable, logits, at), number, entropy(logits, at, this.levels));
    });
  }

  level(step, variable, logits, at) {
    return drawLevel(logits, at, this.levels, this.temperature, this.uniform(LEVEL, step, variable));
  }

  put(variable, level, step, bits) {
    this.state[variable] = level;
    this.news.add(variable, level, step, bits);
  }
}

/** Flat indices of what is set. */
function listed(mask) {
  const found = [];
  for (let place = 0; place < mask.length; place++) if (mask[place]) found.push(place);
  return found;
}

/** The `count` indices with the lowest scores, ascending; the first of equals. */
function lowest(scores, among, count) {
  if (count === 1) return [among.reduce((best, other) => scores[other] < scores[best] ? other : best)];
  return [...among].sort((a, b) => scores[a] - scores[b] || a - b).slice(0, count).sort((a, b) => a - b);
}

/** The radical inverse: the digits of a number in some base, mirrored at the point. */
function mirrored(number, base) {
  let found = 0, scale = 1;
  for (; number; number = Math.floor(number / base)) {
    scale /= base;
    found += number % base * scale;
  }
  return found;
}

// ---- What a GRU over pixels does: nbutils/pixelrnn/filling.py

/** The pixels from `first` on, each drawn given all before it; the hash's purpose is that of levels. */
function* continued(net, { levels, first, temperature = 1, seed = 0 }, news) {
  const state = net.begin(), begun = Address.of(seed, LEVEL, 0, 0);
  let before = BEFORE;
  for (let place = 0; place < levels.length; place++) {
    const [logit] = net.read(state, [before]);
    before = levels[place];
    if (place >= first) {
      const ink = temperature === 0 ? logit > 0 : begun.at(place).uniform < sigmoid(logit / temperature);
      before = +ink;
      news.add(place, before, place - first, entropy([0, logit], 0, 2));
    }
    yield;
  }
  return levels.length - first;
}

/** What every pixel costs given those before it, nats, and its probability of ink. */
function* costs(net, levels) {
  const state = net.begin(), found = new Float32Array(levels.length);
  const probabilities = new Float32Array(levels.length);
  for (let place = 0; place < levels.length; place++) {
    const [logit] = net.read(state, [place ? levels[place - 1] : BEFORE]);
    found[place] = nats(logit, levels[place]);
    probabilities[place] = sigmoid(logit);
    yield;
  }
  return { nats: found, probabilities, total: found.reduce((sum, cost) => sum + cost, 0) };
}

/** What the whole picture costs, nats, with every filling of the `missing` pixels; the first of them is
 * the most significant bit of a filling's number. Beginnings that are alike are read once. `tell` hears
 * which share is done. */
function* posterior(net, levels, missing, tell) {
  const stops = [...missing].sort((a, b) => a - b), work = share => levels.length - share;
  const all = stops.reduce((sum, place, number) => sum + work(place) * 2 ** number, work(0));
  let rows = [{ code: 0, nats: 0 }], state = net.begin(), before = [BEFORE], done = 0;
  for (let place = 0; place < levels.length; place++) {
    let logits = net.read(state, before);
    if (stops.includes(place)) {
      const bit = 2 ** (missing.length - 1 - missing.indexOf(place));
      rows = [...rows, ...rows.map(row => ({ ...row, code: row.code + bit }))];
      logits = [...logits, ...logits];
      state = state.map(twice);
      before = rows.map(row => +((row.code & bit) > 0));
    } else before = new Array(rows.length).fill(levels[place]);
    rows.forEach((row, number) => { row.nats += nats(logits[number], before[number]); });
    done += rows.length;
    tell(done / all);
    yield;
  }
  const found = new Float64Array(rows.length), least = Math.min(...rows.map(row => row.nats));
  for (const row of rows) found[row.code] = row.nats;
  const weights = found.map(cost => Math.exp(least - cost));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { nats: found, probabilities: weights.map(weight => weight / total) };
}

function twice(values) {
  const found = new Float32Array(2 * values.length);
  found.set(values);
  found.set(values, values.length);
  return found;
}
