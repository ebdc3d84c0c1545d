import { lookAt } from '../replay/index.ts';
import { EMPTY_HEADER, type IoctlCall } from '../src/trace/index.ts';
import { buildStruct, CMD, IOMMU_IOAS_MAP } from '../src/uapi/index.ts';
import { openTemporaryStore } from '../store/index.ts';
import { deviceTrace, MACHINE } from './device-trace.ts';
import { collectGarbage } from './measure.ts';

/** Prints the bytes that looking at 1 TiB mapped at a 4 KiB boundary adds: `node tebibyte-memory.js`. */

const calls = deviceTrace(1, 5);
const last = calls.at(-1) as IoctlCall;
const arg = buildStruct(IOMMU_IOAS_MAP, {
  flags: 7,
  ioas_id: 2,
  user_va: 1n << 41n,
  length: 1n << 40n,
  iova: 0x1000n,
});
const map: IoctlCall = {
  ...last,
  seq: last.seq + 1,
  fd: 3,
  kind: 'iommufd',
  cmd: CMD.IOMMU_IOAS_MAP,
  arg,
  out: arg,
};
const store = openTemporaryStore();
const writer = store.beginTrace({
  name: 'tebibyte',
  header: { ...EMPTY_HEADER, kernel: '6.12.117', topology: MACHINE },
});
writer.append([...calls, map]);
writer.seal();
const trace = store.findTrace(writer.traceId)!;
// Once, so that what the program itself needs is there already.
lookAt(store, trace, last.seq);
collectGarbage();
const before = process.memoryUsage().rss;
const view = lookAt(store, trace, map.seq);
const found = view.domains[0]?.table?.walk(2 ** 28 - 1, 'r');
collectGarbage();
if (found == null || found.fault !== null) throw new Error('the tebibyte was not mapped');
console.log(Math.max(0, process.memoryUsage().rss - before));
store.close();
