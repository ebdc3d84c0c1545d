import { stateAt } from '../replay/index.ts';
import { openStore } from '../store/index.ts';
import { createRandom } from './random.ts';

/**
 * Looks at random calls of a store's only trace, whose timeline is there, in a process that has done nothing
 * before, as `ioasis state` is. Arguments: path of the store, seed, looks. Prints the milliseconds of each.
 */

const [path, seed, looks] = process.argv.slice(2);
const store = openStore(path!);
const trace = store.listTraces()[0]!;
const random = createRandom(Number(seed));
const times: number[] = [];
for (let look = 0; look < Number(looks); look += 1) {
  const seq = random.below(trace.lastSeq! + 1);
  const start = process.hrtime.bigint();
  stateAt(store, trace, seq);
  times.push(Number(process.hrtime.bigint() - start) / 1e6);
}
store.close();
console.log(JSON.stringify(times));
