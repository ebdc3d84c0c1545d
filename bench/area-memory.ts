import { execute } from '../src/model/index.ts';
import { buildStruct, CMD, IOMMU_IOAS_MAP } from '../src/uapi/index.ts';
import { openKernel } from './generate.ts';
import { collectGarbage } from './measure.ts';

/** Prints the resident bytes that each of so many live areas adds: `node area-memory.js COUNT`. */

const areas = Number(process.argv[2]);
const { kernel, request } = openKernel();
const arg = buildStruct(IOMMU_IOAS_MAP, {
  flags: 7,
  ioas_id: 1,
  user_va: 1n << 41n,
  length: 4096n,
  iova: 0n,
});
const view = new DataView(arg.buffer, arg.byteOffset);
request.cmd = CMD.IOMMU_IOAS_MAP;
request.arg = arg;
collectGarbage();
const before = process.memoryUsage().rss;
for (let area = 0; area < areas; area += 1) {
  // Every second page, in an order that is neither ascending nor descending.
  const page = ((area * 7919) % areas) * 2 + 16;
  view.setBigUint64(32, BigInt(page) * 4096n, true);
  if (execute(kernel, request).errno !== 0) throw new Error(`map ${area} was refused`);
}
collectGarbage();
console.log((process.memoryUsage().rss - before) / areas);
