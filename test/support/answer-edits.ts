import type { Call } from '../../src/trace/index.ts';
import { CMD, IOMMU_TEST_OP as OP } from '../../src/uapi/index.ts';
import { withNumber } from './edit.ts';
import { type Change, type Finds, ioctl, testOp } from './trace-edits.ts';

/** Answers of a kernel with a bug, written over those of one without. */

const ACCESS_FD = 40;

/** Changes the nth call that fits. */
export function edit(finds: Finds, nth: number, make: (call: Call) => Partial<Call>): Change {
  return (calls) => {
    const places = calls.flatMap((call, at) => (finds(call) ? [at] : []));
    const place = places.at(nth);
    if (place === undefined) throw new Error(`there are ${places.length} such calls`);
    return calls.map((call, at) => (at === place ? ({ ...call, ...make(call) } as Call) : call));
  };
}

/** Bytes that a read returned, or that an ioctl left, with a number written over them. */
export function out(at: number, value: number): (call: Call) => Partial<Call> {
  return (call) => {
    if (!('out' in call) || !(call.out instanceof Uint8Array)) throw new Error('the call has no answer');
    return { out: withNumber(call.out, at, value) } as Partial<Call>;
  };
}

export const refused = (errno: number) => (): Partial<Call> => ({ ret: -1, errno }) as Partial<Call>;
export const accepted = (): Partial<Call> => ({ ret: 0, errno: 0 }) as Partial<Call>;

export const failed =
  (cmd: number, op?: number): Finds =>
  (call) =>
    call.op === 'ioctl' &&
    call.errno !== 0 &&
    (op === undefined ? ioctl(cmd) : testOp(cmd, op))({ ...call, errno: 0 });

/** IOMMU_IOAS_ALLOC with an unknown flag. */
export function badAlloc(call: Call): readonly Call[] {
  if (call.op !== 'ioctl') throw new Error('no ioctl');
  const arg = withNumber(call.arg, 4, 1);
  return [{ ...call, arg, out: arg, ret: -1, errno: 95 }];
}

/** An access object on IOAS 1 pins a page of the dma-buf that is mapped there, and the kernel lets it. */
export function pinsOfDmabuf(call: Call): readonly Call[] {
  if (call.op !== 'ioctl') throw new Error('no ioctl');
  const test = (fields: readonly (readonly [number, number | bigint])[]): Uint8Array =>
    fields.reduce(
      (bytes, [at, value]) => withNumber(bytes, at, value),
      withNumber(new Uint8Array(72), 0, 72),
    );
  const like = { ...call, cmd: CMD.IOMMU_TEST_CMD, ret: 0, errno: 0 };
  const create = test([
    [4, OP.CREATE_ACCESS],
    [8, 1],
    [20, 1],
  ]);
  const pin = test([
    [4, OP.ACCESS_PAGES],
    [8, ACCESS_FD],
    [24, 0x1000000n],
    [32, 4096n],
  ]);
  return [
    { ...like, arg: create, out: withNumber(create, 16, ACCESS_FD), newFd: ACCESS_FD },
    { ...like, arg: pin, out: pin },
  ];
}
