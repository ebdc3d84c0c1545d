import type { Kernel } from '../../../src/model/index.ts';
import type { Call, DmaAccess, Note } from '../../../src/trace/index.ts';
import type { AccessRequest } from './access.ts';
import type { LiveState } from './live-state.ts';

/** Accesses that a trace recorded: `dma` records, and `edu_dma` notes of test programs. */

/** One request for each page that a record touches, in order. */
export function* accessesOf(kernel: Kernel, state: LiveState, call: Call): Generator<AccessRequest> {
  if (call.op === 'dma') yield* accessesOfDma(kernel, call);
  else if (call.op === 'note' && call.kind === 'edu_dma') yield* accessesOfEdu(state, call);
}

function* accessesOfDma(kernel: Kernel, call: DmaAccess): Generator<AccessRequest> {
  const device = deviceNamed(kernel, call.device);
  if (device === null) return;
  yield* pagesOf(device, call.pasid, call.iova, call.len, call.access);
}

function* pagesOf(
  device: number,
  pasid: number,
  iova: bigint,
  length: number,
  access: 'r' | 'w' | 'x',
): Generator<AccessRequest> {
  const first = Number(iova >> 12n);
  const last = Number((iova + BigInt(length) - 1n) >> 12n);
  for (let page = first; page <= last; page += 1) yield { device, pasid, page, access };
}

/** Index of the device with this address (`0000:01:00.0`, `01:00.0`) or path; null when there is none. */
export function deviceNamed({ machine }: Kernel, name: string): number | null {
  const found = machine.devices.find(
    ({ bdf, path, index }) =>
      (bdf !== '' && (bdf === name || bdf.replace(/^0000:/, '') === name)) ||
      (path !== '' && (path === name || path.slice(path.lastIndexOf('/') + 1) === name)) ||
      String(index) === name,
  );
  return found?.index ?? null;
}

/** `cmd` of the edu device: 1 reads from memory at `src`, 3 writes to memory at `dst`. */
const TO_DEVICE = 1;
const TO_MEMORY = 3;

function* accessesOfEdu(state: LiveState, { fields }: Note): Generator<AccessRequest> {
  const { src, dst, count, cmd, bdf } = fields;
  const isRead = cmd === TO_DEVICE;
  if (!isRead && cmd !== TO_MEMORY) return;
  const address = isRead ? src : dst;
  const device = typeof bdf === 'string' ? deviceNamed(state.kernel, bdf) : onlyUser(state);
  if (device === null || typeof address !== 'string' || typeof count !== 'number' || count < 1) return;
  if (!/^0x[0-9a-f]{1,16}$/i.test(address)) return;
  yield* pagesOf(device, 0, BigInt(address), count, isRead ? 'r' : 'w');
}

/**
 * The note does not name its device. With one device in the hands of VFIO there is no doubt; with several
 * nobody can tell.
 */
function onlyUser({ slots }: LiveState): number | null {
  const users: number[] = [];
  for (const [key, { kind }] of slots) {
    if (key.endsWith('/0') && (kind === 'paging' || kind === 'nested')) users.push(Number(key.slice(0, -2)));
  }
  return users.length === 1 ? users[0]! : null;
}
