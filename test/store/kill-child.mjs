// Imports calls into a store until it is killed. Arguments: compiled store/index.js, compiled make-calls.js, path,
// calls in a batch. Prints the number of calls that are committed after each batch.
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [storeModule, callsModule, path, batchCalls] = process.argv.slice(2);
const { openStore } = await import(pathToFileURL(storeModule).href);
const { hotCalls } = await import(pathToFileURL(callsModule).href);

const header = { kernel: null, arch: null, pageSizeBytes: 4096, producer: null, quirks: [], raw: null };
const topology = { iommu: null, instances: [], devices: [] };
const writer = openStore(path).beginTrace({ name: 'killed', header: { ...header, topology } });
const batch = Number(batchCalls);
for (let start = 0; ; start += batch) {
  writer.append(hotCalls(batch, start));
  writeSync(1, `${start + batch}\n`);
}
