'use strict';
// The arithmetic of the models, as `nbutils.nade` and `nbutils.pixelrnn` have it: numbers with an address, the
// in-painting net with its caption reader, and the GRU over pixels. What takes long is a generator that yields
// often, so that whoever runs it can look at other things in between.

// ---- Random numbers with an address, bit for bit those of nbutils/nade/uniforms.py

const LEVEL = 0, BLOCK = 1, START = 2, ORDER = 3, CHOICE = 4;  // purposes

let upper = 0;  // the upper half of the last product

/** The lower half of a product of 64-bit numbers, each given by two halves of 32 bits; the upper goes to `upper`. */
function times(aHigh, aLow, bHigh, bLow) {
  const a0 = aLow & 0xffff, a1 = aLow >>> 16, b0 = bLow & 0xffff, b1 = bLow >>> 16;
  const middle = a1 * b0 + a0 * b1 + Math.floor(a0 * b0 / 65536);
  upper = a1 * b1 + Math.floor(middle / 65536) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh) | 0;
  return Math.imul(aLow, bLow);
}

/** A hash of (seed, purpose, example, step, variable), made part by part; `uniform` is its number in [0, 1). */
class Address {
  constructor(high, low) { this.high = high; this.low = low; }

  /** seed: an int64 as a BigInt, a number or decimal digits. */
  static of(seed, ...parts) {
    const bits = BigInt.asUintN(64, BigInt(seed));
    const begun = new Address(Number(bits >> 32n) | 0, Number(bits & 0xffffffffn) | 0);
    return parts.reduce((address, part) => address.at(part), begun);
  }

  /** The address with one more part, 0 to 2^31 - 2: SplitMix64 (Steele, Lea, Flood 2014). */
  at(part) {
    const turned = times(0, part + 1, 0x9e3779b9, 0x7f4a7c15);
    let low = this.low + turned | 0;
    let high = this.high + upper + (low >>> 0 < turned >>> 0 ? 1 : 0) | 0;
    low = times(high ^ high >>> 30, low ^ (low >>> 30 | high << 2), 0xbf58476d, 0x1ce4e5b9);
    high = upper;
    low = times(high ^ high >>> 27, low ^ (low >>> 27 | high << 5), 0x94d049bb, 0x133111eb);
    high = upper;
    return new Address(high ^ high >>> 31, low ^ (low >>> 31 | high << 1));
  }

  get uniform() {
    return ((this.high >>> 0) * 2097152 + (this.low >>> 11)) * 2 ** -53;
  }
}

// ---- Distributions given by their logits, those of nbutils/nade/categorical.py

/** Entropy in bits of the distribution whose logits stand from `at` on. */
function entropy(logits, at, levels, temperature = 1) {
  const highest = largest(logits, at, levels);
  let total = 0, mean = 0;
  for (let level = 0; level < levels; level++) {
    const nats = (logits[at + level] - highest) / temperature, weight = Math.exp(nats);
    total += weight;
    if (weight > 0) mean += weight * nats;
  }
  return (Math.log(total) - mean / total) / Math.LN2;
}

function largest(logits, at, levels) {
  let highest = -Infinity;
  for (let level = 0; level < levels; level++) if (logits[at + level] > highest) highest = logits[at + level];
  return highest;
}

/** The probabilities of the likeliest level and of the second. */
function twoLikeliest(logits, at, levels) {
  const highest = largest(logits, at, levels);
  let total = 0, first = 0, second = 0;
  for (let level = 0; level < levels; level++) {
    const weight = Math.exp(logits[at + level] - highest);
    total += weight;
    if (weight > first) { second = first; first = weight; } else if (weight > second) second = weight;
  }
  return [first / total, second / total];
}

const doubt = (logits, at, levels) => 1 - twoLikeliest(logits, at, levels)[0];

const closeness = (logits, at, levels) => {
  const [first, second] = twoLikeliest(logits, at, levels);
  return 1 - (first - second);
};

/** Logarithm of the probability of a level. */
function logProbability(logits, at, levels, level) {
  const highest = largest(logits, at, levels);
  let total = 0;
  for (let other = 0; other < levels; other++) total += Math.exp(logits[at + other] - highest);
  return logits[at + level] - highest - Math.log(total);
}

/** A level from p^(1/T) by inverse CDF; T = 0 is the likeliest, ties broken uniformly. */
function drawLevel(logits, at, levels, temperature, uniform) {
  const highest = largest(logits, at, levels), cumulated = new Float64Array(levels);
  let total = 0;
  for (let level = 0; level < levels; level++) {
    const logit = logits[at + level];
    total += temperature === 0 ? +(logit === highest) : Math.exp((logit - highest) / temperature);
    cumulated[level] = total;
  }
  if (!Number.isFinite(total + highest)) throw new Error('logits: no distribution; the weights are not finite');
  const threshold = Math.min(uniform * total, total * (1 - 2 ** -53));  // u = 1 - 2^-53 can round up to the total
  return cumulated.findIndex(sum => sum > threshold);
}

// ---- Matrices

/** Weights of `outputs` sums over `inputs`, laid out as `multiply` reads them: four outputs side by side. */
class Matrix {
  /** entry: a function from (output, input) to a number; shift: from an output to what its sum begins with. */
  constructor(outputs, inputs, entry, shift) {
    this.inputs = inputs;
    this.stride = 4 * Math.ceil(outputs / 4);
    this.weights = new Float32Array(this.stride * inputs);
    this.shift = new Float32Array(this.stride);
    for (let output = 0; output < outputs; output++) {
      const first = (output - output % 4) * inputs + output % 4;
      for (let input = 0; input < inputs; input++) this.weights[first + 4 * input] = entry(output, input);
      this.shift[output] = shift(output);
    }
  }
}

/** Sums for pairs of rows: x (pairs, inputs, 2) -> out (2 pairs, stride). Two rows and four outputs at a time are
 * eight sums for six numbers read, which is what makes it fast. */
function multiply(matrix, x, pairs, out) {
  const { inputs, stride, weights, shift } = matrix;
  for (let pair = 0; pair < pairs; pair++) {
    for (let output = 0; output < stride; output += 4) {
      let a0 = shift[output], a1 = shift[output + 1], a2 = shift[output + 2], a3 = shift[output + 3];
      let b0 = a0, b1 = a1, b2 = a2, b3 = a3;
      let place = 2 * pair * inputs, weight = output * inputs;
      for (let input = 0; input < inputs; input++) {
        const a = x[place], b = x[place + 1];
        const w0 = weights[weight], w1 = weights[weight + 1], w2 = weights[weight + 2], w3 = weights[weight + 3];
        a0 += a * w0; a1 += a * w1; a2 += a * w2; a3 += a * w3;
        b0 += b * w0; b1 += b * w1; b2 += b * w2; b3 += b * w3;
        place += 2;
        weight += 4;
      }
      const row = 2 * pair * stride + output, next = row + stride;
      out[row] = a0; out[row + 1] = a1; out[row + 2] = a2; out[row + 3] = a3;
      out[next] = b0; out[next + 1] = b1; out[next + 2] = b2; out[next + 3] = b3;
    }
  }
}

// ---- Weights and words

/** What every half-precision number means, by its bits. */
const HALVES = (() => {
  const meaning = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 0) meaning[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) meaning[bits] = fraction ? NaN : sign * Infinity;
    else meaning[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return meaning;
})();

/** The tensors of a model, a dict from name to Float32Array; described by {name: [shape, precision, first byte]}. */
function unpack(described, base64) {
  const text = atob(base64.trim()), bytes = new Uint8Array(text.length);
  for (let place = 0; place < bytes.length; place++) bytes[place] = text.charCodeAt(place);
  const found = {};
  for (const [name, [shape, precision, first]] of Object.entries(described)) {
    const count = shape.reduce((product, side) => product * side, 1);
    if (precision === 'single') found[name] = new Float32Array(bytes.buffer.slice(first, first + 4 * count));
    else found[name] = Float32Array.from(new Uint16Array(bytes.buffer.slice(first, first + 2 * count)), bits => HALVES[bits]);
  }
  return found;
}

const SEPARATOR = '<separator>';
const WORD = /<separator>|[\p{L}\p{N}_]+(?:['\u2019][\p{L}\p{N}_]+)*|[^\p{L}\p{N}_\s]/gu;

/** The words of the captions of one picture, as `captions.split_words`. */
function splitWords(captions) {
  return captions.map(caption => caption.replaceAll(SEPARATOR, ' ')).join(` ${SEPARATOR} `).match(WORD) || [];
}

// ---- The in-painting net: nbutils/nade/inpainter.py, and nbutils/nade/fast/incremental.py

const sigmoid = x => 1 / (1 + Math.exp(-x));

/** An `Inpainter` in evaluation mode: its layers with batch normalisation folded in. */
class Inpainter {
  constructor(config, words, tensors) {
    this.config = config;
    this.words = words;
    this.tensors = tensors;
    this.size = config.image_size;
    this.area = this.size ** 2;
    this.variables = config.channels * this.area;
    this.merges = new Set(config.vocabulary_size ? config.merge_layers : []);
    this.planes = config.merger === 'concat' ? config.merger_planes : 0;
    this.number = new Map(words.map((word, number) => [word, number]));
    this.lookUp();
    this.layers = [this.layer(1, config.width, config.kernel_size, null)];
    for (let layer = 2; layer <= config.layers; layer++) this.layers.push(this.convolution(layer));
    if (config.readout) this.layers.push(this.readout());
    this.heads = Array.from({ length: config.channels }, (_, channel) => this.head(channel));
  }

  /** What a layer hands on, what it reads of the one before, and how far it sees. */
  layer(number, width, kernel, matrix) {
    const dilation = number > this.config.layers ? 1 : this.config.dilations[number - 1];
    const before = dilation * Math.floor((kernel - 1) / 2), after = dilation * (kernel - 1) - before;
    const reach = this.layers ? this.layers[this.layers.length - 1].reach : [0, 0];
    return {
      number, matrix, width, merges: this.merges.has(number),
      handsOn: width + (this.merges.has(number) ? this.planes : 0),
      addsSkip: this.config.kind.endsWith('residual') && number % 2 === 1 && number > 1 && number <= this.config.layers,
      taps: kernel ** 2, neighbours: this.neighbours(kernel, dilation, before),
      reach: [reach[0] + before, reach[1] + after],
    };
  }

  /** The sites that a convolution reads for every site, (area, taps); site `area` is all that lies outside. */
  neighbours(kernel, dilation, before) {
    const found = new Int32Array(this.area * kernel ** 2), { size } = this;
    for (let site = 0, place = 0; site < this.area; site++) {
      for (let tap = 0; tap < kernel ** 2; tap++) {
        const y = Math.floor(site / size) + dilation * Math.floor(tap / kernel) - before;
        const x = site % size + dilation * (tap % kernel) - before;
        found[place++] = y >= 0 && y < size && x >= 0 && x < size ? y * size + x : this.area;
      }
    }
    return found;
  }

  /** Factors and terms that a batch normalisation comes to. */
  normalisation(name) {
    const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var']
      .map(part => this.tensors[`${name}.${part}`]);
    const scale = weight.map((factor, unit) => factor / Math.sqrt(variance[unit] + this.config.epsilon));
    return [scale, bias.map((term, unit) => term - mean[unit] * scale[unit])];
  }

  /** The table of the first layer, (taps, channels * levels + 1, width), the last row of a tap for the unknown. */
  lookUp() {
    const { channels, levels, width, kernel_size: kernel } = this.config, taps = kernel ** 2;
    const [scale, shift] = this.normalisation('first_norm'), rows = this.tensors['first.table'];
    const known = this.tensors['first.mask_weight'];
    this.blank = channels * levels;
    this.table = new Float32Array(taps * (this.blank + 1) * width);
    for (let tap = 0; tap < taps; tap++) for (let row = 0; row < this.blank; row++) {
      const to = (tap * (this.blank + 1) + row) * width, from = (tap * this.blank + row) * width;
      const mask = (tap * channels + Math.floor(row / levels)) * width;
      for (let unit = 0; unit < width; unit++) this.table[to + unit] = (rows[from + unit] + known[mask + unit]) * scale[unit];
    }
    this.tableShift = this.tensors['first.bias'].map((term, unit) => term * scale[unit] + shift[unit]);
  }

  convolution(number) {
    const { width, kernel_size: kernel } = this.config, name = `body.${number - 2}`, taps = kernel ** 2;
    const [scale, shift] = this.normalisation(`${name}.norm`), weight = this.tensors[`${name}.conv.weight`];
    const reads = this.layers[this.layers.length - 1].handsOn;
    const entry = (output, input) =>
      weight[(output * reads + input % reads) * taps + Math.floor(input / reads)] * scale[output];
    return this.layer(number, width, kernel, new Matrix(width, taps * reads, entry, output => shift[output]));
  }

  linear(name, outputs, inputs, first = 0) {
    const weight = this.tensors[`${name}.weight`], bias = this.tensors[`${name}.bias`];
    return new Matrix(outputs, inputs, (output, input) => weight[(first + output) * inputs + input], output => bias[first + output]);
  }

  /** The 1 x 1 layer before the output, as one more layer. */
  readout() {
    const { layers, readout } = this.config, inputs = this.layers[layers - 1].handsOn;
    return this.layer(layers + 1, readout, 1, this.linear('readout.0', readout, inputs));
  }

  head(channel) {
    const { levels } = this.config;
    return this.linear('head', levels, this.layers[this.layers.length - 1].handsOn, channel * levels);
  }

  /** Sentences as numbers; 1 is every word that the model does not know. */
  encode(caption) { return splitWords(caption).map(word => this.number.get(word) ?? 1); }

  /** What the mergers need of a caption: by layer what is added or stacked on at every pixel. */
  read(caption) {
    const { reader_size: size, width, merger, bidirectional } = this.config, found = new Map();
    if (!this.merges.size) return found;
    const numbers = this.encode(caption), count = numbers.length, half = bidirectional ? size / 2 : size;
    const forward = this.direction(0, numbers), backward = bidirectional && this.direction(1, [...numbers].reverse()).reverse();
    const states = forward.map((state, word) => bidirectional ? [...state, ...backward[word]] : state);
    for (const layer of this.merges) {
      const apply = (name, outputs, state) => Float32Array.from({ length: outputs }, (_, output) =>
        state.reduce((sum, x, unit) => sum + x * this.tensors[`mergers.${layer}.${name}.weight`][output * size + unit], 0));
      if (merger === 'attention') {
        const keys = states.map(state => apply('metric', width, state).map(x => x / Math.sqrt(width)));
        found.set(layer, { count, keys, values: states.map(state => apply('value', width, state)) });
      } else {
        const ends = count ? [...states[count - 1].slice(0, half), ...states[0].slice(half)] : new Array(size).fill(0);
        found.set(layer, { planes: apply('project', this.planes, ends) });
      }
    }
    return found;
  }

  /** One direction of the quasi-recurrent reader, a state for every word: nbutils/nade/reader.py. */
  direction(which, numbers) {
    const { embedding_size: inputs, reader_kernel: kernel, reader_size: size, bidirectional } = this.config;
    const units = bidirectional ? size / 2 : size, name = `reader.layers.${which}`, embedding = this.tensors['reader.embedding.weight'];
    const weight = this.tensors[`${name}.gates.weight`], bias = this.tensors[`${name}.gates.bias`];
    let carried = new Array(units).fill(0);
    return numbers.map((_, word) => {
      const gates = Array.from(bias);
      for (let tap = Math.max(0, kernel - 1 - word); tap < kernel; tap++) {
        const first = numbers[word - kernel + 1 + tap] * inputs;
        for (let gate = 0; gate < 3 * units; gate++) for (let input = 0; input < inputs; input++)
          gates[gate] += weight[(gate * inputs + input) * kernel + tap] * embedding[first + input];
      }
      const [candidate, forget, output] = [0, 1, 2].map(part =>
        this.layerNorm(`${name}.normalize.${part}`, gates.slice(part * units, (part + 1) * units)));
      carried = carried.map((state, unit) =>
        sigmoid(forget[unit]) * state + (1 - sigmoid(forget[unit])) * Math.tanh(candidate[unit]));
      return carried.map((state, unit) => sigmoid(output[unit]) * state);
    });
  }

  layerNorm(name, x) {
    if (!this.config.reader_normalize) return x;
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    const weight = this.tensors[`${name}.weight`], bias = this.tensors[`${name}.bias`];
    return x.map((value, unit) => (value - mean) / Math.sqrt(variance + this.config.epsilon) * weight[unit] + bias[unit]);
  }
}

const CHUNK = 32;  // sites that are computed between two yields

/** The activations of one picture that are kept: of every layer only those sites are computed again that are out of
 * date and asked for. A site is a pixel of a layer. */
class Picture {
  /** captions: from `Inpainter.read`; attention: a Map that is filled with what every pixel attends to, or none. */
  constructor(net, captions, attention) {
    this.net = net;
    this.captions = captions;
    this.attention = attention;
    const { area, layers, config } = net;
    this.code = new Int32Array((area + 1) * config.channels).fill(net.blank);  // rows of the look-up table
    this.kept = layers.map(layer => new Float32Array((area + 1) * layer.handsOn));
    this.stale = layers.map(() => new Uint8Array(area + 1).fill(1, 0, area));
    this.needed = layers.map(() => new Int32Array(area));
    this.seen = new Int32Array(area + 1);  // when a site was last noted
    this.moment = 0;
    const widest = Math.max(...layers.map(layer => layer.matrix ? layer.matrix.inputs : 0), net.heads[0].inputs);
    const most = Math.max(...layers.map(layer => layer.matrix ? layer.matrix.stride : config.width), net.heads[0].stride);
    this.x = new Float32Array(CHUNK * widest);
    this.out = new Float32Array(CHUNK * most);
  }

  /** Compute what predictions of the variables `index` depend on and is stale. Where `found` is given, the pixels whose
   * prediction has changed are set in it.
   *
   * levels: (C H W); unknown: (C H W), 1 where a variable is hidden; index: flat indices. */
  * refresh(levels, unknown, index, found) {
    this.takeIn(levels, unknown);
    const counts = this.count(index);
    for (const [number, layer] of this.net.layers.entries()) {
      const sites = this.needed[number];
      for (let first = 0; first < counts[number]; first += CHUNK) {
        const part = sites.subarray(first, Math.min(first + CHUNK, counts[number]));
        if (number) this.convolve(number, layer, part);
        else this.lookUp(part);
        for (const [place, site] of part.entries()) {
          this.finish(number, layer, site, place);
          this.stale[number][site] = 0;
        }
        yield;
      }
    }
    const last = counts.length - 1;
    if (found) for (let place = 0; place < counts[last]; place++) found[this.needed[last][place]] = 1;
  }

  /** Update the input where variables changed, and note what that makes stale. */
  takeIn(levels, unknown) {
    const { config, area, blank } = this.net, { channels } = config;
    for (let pixel = 0; pixel < area; pixel++) {
      let changed = false;
      for (let channel = 0; channel < channels; channel++) {
        const variable = channel * area + pixel, place = pixel * channels + channel;
        const row = unknown[variable] ? blank : channel * config.levels + levels[variable];
        changed ||= this.code[place] !== row;
        this.code[place] = row;
      }
      if (changed) this.spread(pixel);
    }
  }

  /** Every layer is out of date in the square that a pixel of the input can reach. */
  spread(pixel) {
    const { size, layers } = this.net, y = Math.floor(pixel / size), x = pixel % size;
    for (const [number, { reach: [before, after] }] of layers.entries()) {
      const left = Math.max(0, x - after), right = Math.min(size, x + before + 1);
      for (let row = Math.max(0, y - after); row < Math.min(size, y + before + 1); row++)
        this.stale[number].fill(1, row * size + left, row * size + right);
    }
  }

  /** List the stale sites of every layer that predictions depend on, from the last layer to the first; how many. */
  count(index) {
    const { layers, area } = this.net, counts = new Array(layers.length).fill(0);
    let asked = Array.from(index, variable => variable % area);
    for (let number = layers.length - 1; number >= 0; number--) {
      const sites = this.needed[number], stale = this.stale[number], moment = ++this.moment;
      let count = 0;
      for (const site of asked) {
        if (this.seen[site] !== moment && stale[site]) sites[count++] = site;
        this.seen[site] = moment;
      }
      counts[number] = count;
      const { neighbours, taps } = layers[number];
      asked = new Int32Array(count * taps);
      for (let place = 0; place < count; place++)
        for (let tap = 0; tap < taps; tap++) asked[place * taps + tap] = neighbours[sites[place] * taps + tap];
    }
    return counts;
  }

  /** The first layer adds rows of its table. */
  lookUp(sites) {
    const { table, tableShift, blank, config } = this.net, { width, channels } = config;
    const { taps, neighbours } = this.net.layers[0], { out, code } = this;
    for (let place = 0; place < sites.length; place++) {
      const to = place * width;
      out.set(tableShift, to);
      for (let tap = 0; tap < taps; tap++) for (let channel = 0; channel < channels; channel++) {
        const row = code[neighbours[sites[place] * taps + tap] * channels + channel];
        const from = (tap * (blank + 1) + row) * width;
        if (row < blank) for (let unit = 0; unit < width; unit++) out[to + unit] += table[from + unit];
      }
    }
  }

  /** A convolution of some sites: one product with what each of them reads, side by side in pairs. */
  convolve(number, layer, sites) {
    const { taps, neighbours, matrix } = layer, reads = this.net.layers[number - 1].handsOn;
    const { x } = this, before = this.kept[number - 1];
    for (let place = 0; place < sites.length; place++) {
      let to = (place - place % 2) * matrix.inputs + place % 2;
      for (let tap = 0; tap < taps; tap++) {
        const from = neighbours[sites[place] * taps + tap] * reads;
        for (let unit = 0; unit < reads; unit++, to += 2) x[to] = before[from + unit];
      }
    }
    multiply(matrix, x, Math.ceil(sites.length / 2), this.out);
  }

  /** What follows the sums of a layer at a site: the skip, the ReLU, the caption. */
  finish(number, layer, site, place) {
    const { out } = this, from = place * (layer.matrix ? layer.matrix.stride : layer.width);
    const kept = this.kept[number], to = site * layer.handsOn;
    if (layer.addsSkip) {
      const skip = this.kept[number - 2], first = site * this.net.layers[number - 2].handsOn;
      for (let unit = 0; unit < layer.width; unit++) out[from + unit] += skip[first + unit];
    }
    for (let unit = 0; unit < layer.width; unit++) kept[to + unit] = Math.max(0, out[from + unit]);
    if (!layer.merges) return;
    const caption = this.captions.get(layer.number);
    if (caption.planes) kept.set(caption.planes, to + layer.width);
    else this.attend(layer, site, caption, kept, to);
  }

  /** Every pixel asks the words: softmax of scores, the mixture of values is added. */
  attend(layer, site, { count, keys, values }, kept, to) {
    const weights = new Float64Array(count), { width } = layer;
    for (let word = 0; word < count; word++)
      for (let unit = 0; unit < width; unit++) weights[word] += kept[to + unit] * keys[word][unit];
    const highest = weights.reduce((most, score) => Math.max(most, score), -Infinity);
    let total = 0;
    for (let word = 0; word < count; word++) total += weights[word] = Math.exp(weights[word] - highest);
    for (let word = 0; word < count; word++) {
      weights[word] /= total;
      for (let unit = 0; unit < width; unit++) kept[to + unit] += weights[word] * values[word][unit];
    }
    if (this.attention) this.attention.get(layer.number).set(weights, site * count);
  }

  /** Call `visit(variable, logits, at)` for the variables `index`, after `refresh` for them; logits from `at` on. */
  * predict(index, visit) {
    const { heads, area } = this.net, { x, out } = this, kept = this.kept[this.kept.length - 1];
    for (let first = 0; first < index.length;) {
      const channel = Math.floor(index[first] / area), { inputs, stride } = heads[channel];
      let last = first + 1;
      while (last < index.length && last < first + CHUNK && Math.floor(index[last] / area) === channel) last++;
      for (let place = first; place < last; place++) {
        const row = place - first, from = index[place] % area * inputs;
        let to = (row - row % 2) * inputs + row % 2;
        for (let unit = 0; unit < inputs; unit++, to += 2) x[to] = kept[from + unit];
      }
      multiply(heads[channel], x, Math.ceil((last - first) / 2), out);
      for (let place = first; place < last; place++) visit(index[place], out, (place - first) * stride);
      yield;
      first = last;
    }
  }
}

// ---- The GRU over pixels: `PixelPredictor` of nbutils/pixelrnn/models.py

const BEFORE = 0.5;  // what is read before the first pixel

class Predictor {
  constructor(config, tensors) {
    this.config = config;
    const { hidden_size: units, num_layers: layers } = config;
    this.units = units;
    this.cells = Array.from({ length: layers }, (_, layer) => {
      const [w, u, b, c] = ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'].map(part => tensors[`cells.${part}_l${layer}`]);
      const inputs = layer ? units : 1;
      return {
        fromInput: new Matrix(3 * units, inputs, (output, input) => w[output * inputs + input], output => b[output]),
        fromState: new Matrix(3 * units, units, (output, input) => u[output * units + input], output => c[output]),
      };
    });
    [this.weight, this.bias] = [tensors['readout.weight'], tensors['readout.bias'][0]];
  }

  /** A state of `rows` beginnings of pictures: zeros before the first pixel; layers of (rows, units). */
  begin(rows = 1) { return this.cells.map(() => new Float32Array(rows * this.units)); }

  /** Read one pixel of each row, which moves the state: pixels (rows) -> logits of ink at the pixel after (rows). */
  read(state, pixels) {
    const { units } = this, rows = pixels.length;
    let inputs = pixels;
    for (const [layer, { fromInput, fromState }] of this.cells.entries()) {
      const hidden = state[layer], stride = fromState.stride;
      const given = product(fromInput, inputs, rows), recalled = product(fromState, hidden, rows);
      for (let row = 0; row < rows; row++) for (let unit = 0; unit < units; unit++) {
        const at = row * stride + unit, place = row * units + unit;
        const reset = sigmoid(given[at] + recalled[at]);
        const keep = sigmoid(given[at + units] + recalled[at + units]);
        const candidate = Math.tanh(given[at + 2 * units] + reset * recalled[at + 2 * units]);
        hidden[place] = candidate + keep * (hidden[place] - candidate);
      }
      inputs = hidden;
    }
    return Float64Array.from({ length: rows }, (_, row) => {
      let logit = this.bias;
      for (let unit = 0; unit < units; unit++) logit += this.weight[unit] * inputs[row * units + unit];
      return logit;
    });
  }
}

/** Rows (rows, inputs) times a matrix: (rows, stride), and one row more where their number is odd. */
function product(matrix, values, rows) {
  const { inputs, stride } = matrix, pairs = Math.ceil(rows / 2);
  const x = new Float32Array(2 * pairs * inputs), out = new Float32Array(2 * pairs * stride);
  for (let row = 0; row < rows; row++) {
    let to = (row - row % 2) * inputs + row % 2;
    for (let input = 0; input < inputs; input++, to += 2) x[to] = values[row * inputs + input];
  }
  multiply(matrix, x, pairs, out);
  return out;
}

/** What a pixel costs, nats, under the logit of ink. */
function nats(logit, pixel) {
  const against = pixel ? -logit : logit;
  return Math.max(0, against) + Math.log1p(Math.exp(-Math.abs(against)));
}
