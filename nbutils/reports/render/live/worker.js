// The worker that runs the models of a page. It stands after arithmetic.js and samplers.js, in one text.
//
// A page sends {do, job, ...} and is answered {did, job, ...}; a job is any number that is new for every request. Jobs
// take turns of `TURN` milliseconds, so that a question is answered while a filling runs or is paused. Arrays of a
// picture are flat, (C, H, W) as torch has them; a caption is an array of sentences.
//
// do          with                                               did
// load        model, description, weights (base64 text)          loaded {model, parameters}
// words       model, caption                                     words {words, numbers}; number 1 is an unknown word
// fill        model, levels, known, caption, and below           started {levels, total}, drew ..., done
// predict     model, levels, known, caption, index               predict {logits (n, levels)}
// entropies   model, levels, known, caption, temperature         entropies {bits (C H W), 0 where known}
// attention   model, levels, known, caption                      attention {words, layers, weights: one (H W, T) a layer}
// continue    model, levels (T), first, temperature, seed        drew ..., done
// nats        model, levels (T)                                  nats {nats (T), probabilities (T) of ink, total}
// posterior   model, levels (T), missing (1 to 9 places)         progress {share} ..., posterior {nats, probabilities};
//             filling n gives missing[i] bit k - 1 - i of n, as `filling.fillings`
// pause, resume, stop    target: a job                           paused, resumed, stopped; ended: it was over already
//
// fill takes: strategy (a name of `sampling.STRATEGIES`, or an array of flat indices: an order), temperature, seed (a
// number, BigInt or decimal digits), start, rounds (how many blocks of an ancestral strategy or maskgit), steps (of Gibbs
// and remdm), schedule {alpha_max, alpha_min, eta}, convention, noise, remasking, redrawn; all with the defaults of
// `sampling.inpaint`, the seed 0. `started` has the hole as it begins and how many draws will be made, NaN if that is
// not known.
//
// drew {index, levels, steps, bits}: what was drawn, in order, at which draw or step, and the entropy of what it was
// drawn from at temperature 1; level -1 is hidden again. Sent about every `TELL` milliseconds; all of them together are
// the history, from which every frame can be made. done {evaluations, seconds}: of computing, without pauses.
// error {message, stack}: the job is over.

const TURN = 20, TELL = 30;
const models = new Map(), jobs = new Map();
const bell = new MessageChannel();  // rings for the next turn, after the messages that wait
let rung = false;

/** A generator for every request; what it returns is the answer. */
const DOES = {
  * load({ model, description: { config, words, tensors: described }, weights }) {
    const tensors = unpack(described, weights);
    models.set(model, config.image_size ? new Inpainter(config, words, tensors) : new Predictor(config, tensors));
    return { did: 'loaded', model, parameters: Object.values(tensors).reduce((sum, tensor) => sum + tensor.length, 0) };
  },
  * words({ model, caption }) {
    return { did: 'words', words: splitWords(caption), numbers: loaded(model, Inpainter).encode(caption) };
  },
  * fill(request, job) {
    const filling = new Filling(checked(request), request, job.news);
    const once = Array.isArray(request.strategy) || !/gibbs|remdm/.test(request.strategy);
    answer({ did: 'started', job: job.number, levels: Uint8Array.from(filling.state), total: once ? filling.hole.length : NaN });
    return { did: 'done', evaluations: yield* filling.run() };
  },
  * predict(request) {
    const { levels } = checked(request).config, logits = new Float32Array(request.index.length * levels);
    const place = new Map([...request.index].map((variable, number) => [variable, number]));
    yield* predicted(request, request.index, (variable, found, at) => {
      logits.set(found.subarray(at, at + levels), place.get(variable) * levels);
    });
    return { did: 'predict', logits };
  },
  * entropies(request) {
    const bits = new Float32Array(request.levels.length), { levels } = checked(request).config;
    const hidden = listed(request.known.map(known => !known));
    yield* predicted(request, hidden, (variable, logits, at) => {
      bits[variable] = entropy(logits, at, levels, request.temperature);
    });
    return { did: 'entropies', bits };
  },
  * attention(request) {
    const net = checked(request), words = splitWords(request.caption || []);
    if (net.config.merger !== 'attention' || !net.merges.size) throw new Error('model: merges no captions by attention');
    const found = new Map([...net.merges].map(layer => [layer, new Float32Array(net.area * words.length)]));
    const everywhere = Array.from({ length: net.area }, (_, pixel) => pixel);
    yield* predicted(request, everywhere, () => {}, found);
    return { did: 'attention', words, layers: [...found.keys()], weights: [...found.values()] };
  },
  * continue(request, job) {
    return { did: 'done', evaluations: yield* continued(read(request), request, job.news) };
  },
  * nats(request) { return { did: 'nats', ...yield* costs(read(request), request.levels) }; },
  * posterior(request, job) {
    const { missing, levels } = request, inside = missing.every(place => place >= 0 && place < levels.length);
    if (!inside || new Set(missing).size !== missing.length || missing.length < 1 || missing.length > 9)
      throw new Error(`missing: ${missing}; expected 1 to 9 different places within 0 to ${levels.length - 1}`);
    return { did: 'posterior', ...yield* posterior(read(request), levels, missing, share => { job.share = share; }) };
  },
};

/** What is predicted in one go for some variables. */
function* predicted({ model, levels, known, caption }, index, visit, attention) {
  const net = models.get(model), picture = new Picture(net, net.read(caption || []), attention);
  yield* picture.refresh(levels, known.map(known => !known), index);
  yield* picture.predict(index, visit);
}

function loaded(name, kind) {
  if (!(models.get(name) instanceof kind)) throw new Error(`model: ${name}; expected a loaded ${kind.name}`);
  return models.get(name);
}

/** The in-painter of a request whose picture fits it. */
function checked({ model, levels, known }) {
  const net = loaded(model, Inpainter);
  if (levels.length !== net.variables || known.length !== net.variables)
    throw new Error(`levels, known: ${levels.length}, ${known.length} variables; expected ${net.variables}`);
  if (!levels.every(level => level >= 0 && level < net.config.levels))
    throw new Error(`levels: expected whole numbers from 0 to ${net.config.levels - 1}`);
  return net;
}

/** The GRU of a request whose pixels it can read. */
function read({ model, levels }) {
  if (!levels.every(level => level === 0 || level === 1)) throw new Error('levels: expected pixels of 0 and 1');
  return loaded(model, Predictor);
}

function answer(message) {
  const arrays = Object.values(message).flat().filter(ArrayBuffer.isView);
  self.postMessage(message, arrays.map(array => array.buffer));
}

/** Tell what a job has drawn, or how far it is. */
function tell(job) {
  const { index, levels, steps, bits } = job.news, number = job.number;
  if (index.length) answer({ did: 'drew', job: number, index: Int32Array.from(index), levels: Int16Array.from(levels),
    steps: Int32Array.from(steps), bits: Float32Array.from(bits) });
  if (job.share !== undefined) answer({ did: 'progress', job: number, share: job.share });
  job.news.forget();
  job.told = performance.now();
}

/** Work on a job until some time; whether it is over. */
function work(job, until) {
  const began = performance.now();
  try {
    let step;
    do step = job.steps.next(); while (!step.done && performance.now() < until);
    job.seconds += (performance.now() - began) / 1000;
    if (step.done || performance.now() - job.told > TELL) tell(job);
    if (step.done) answer({ job: job.number, seconds: job.seconds, ...step.value });
    return step.done;
  } catch (error) {
    answer({ did: 'error', job: job.number, message: error.message, stack: error.stack });
    return true;
  }
}

/** Have a turn begin where some job can go on. */
function ring() {
  if (rung || ![...jobs.values()].some(job => !job.paused)) return;
  rung = true;
  bell.port2.postMessage(null);
}

bell.port1.onmessage = () => {
  rung = false;
  const running = [...jobs.values()].filter(job => !job.paused), share = TURN / running.length;
  for (const job of running) if (work(job, performance.now() + share)) jobs.delete(job.number);
  ring();
};

const CONTROLS = {
  pause: job => { job.paused = true; tell(job); return 'paused'; },
  resume: job => { job.paused = false; return 'resumed'; },
  stop: job => { tell(job); jobs.delete(job.number); return 'stopped'; },
};

self.onmessage = ({ data: request }) => {
  const { do: what, job: number, target } = request;
  if (what in CONTROLS) {
    answer({ did: jobs.has(target) ? CONTROLS[what](jobs.get(target)) : 'ended', job: target });
  } else if (what in DOES) {
    const job = { number, news: new News(), told: performance.now(), seconds: 0, paused: false };
    job.steps = DOES[what](request, job);
    jobs.set(number, job);
  } else answer({ did: 'error', job: number, message: `do: ${what}; expected one of ${Object.keys(DOES).join(', ')}`, stack: '' });
  ring();
};
