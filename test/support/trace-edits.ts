import type { Call, IoctlCall } from '../../src/trace/index.ts';
import { IOMMU_TEST_CMD, offsetsOf } from '../../src/uapi/index.ts';
import { withNumber } from './edit.ts';

/** Changes of a list of calls, for planting bugs; `seq` of the calls has room in between (see lint.ts). */

export type Change = (calls: readonly Call[]) => readonly Call[];
export type Finds = (call: Call) => boolean;

const TEST_OP = offsetsOf(IOMMU_TEST_CMD).op;

export function u32Of({ arg }: IoctlCall, at: number): number {
  return arg === null || arg.length < at + 4
    ? 0
    : new DataView(arg.buffer, arg.byteOffset).getUint32(at, true);
}

/** A successful ioctl with that command, and with these fields. */
export function ioctl(cmd: number, fields: Readonly<Record<number, number>> = {}): Finds {
  return (call) =>
    call.op === 'ioctl' &&
    call.cmd === cmd &&
    call.errno === 0 &&
    Object.entries(fields).every(([at, value]) => u32Of(call, Number(at)) === value);
}

/** A successful IOMMU_TEST_CMD. */
export function testOp(cmd: number, op: number, fields: Readonly<Record<number, number>> = {}): Finds {
  return ioctl(cmd, { [TEST_OP]: op, ...fields });
}

function placeOf(calls: readonly Call[], finds: Finds, nth: number): number {
  const places = calls.flatMap((call, at) => (finds(call) ? [at] : []));
  const at = places.at(nth);
  if (at === undefined) throw new Error(`the trace has ${places.length} such calls, and not number ${nth}`);
  return at;
}

/** Leaves out the nth such call; negative counts from the end. */
export function drop(finds: Finds, nth = 0): Change {
  return (calls) => {
    const at = placeOf(calls, finds, nth);
    return calls.filter((_, index) => index !== at);
  };
}

/** Makes the call twice. */
export function twice(finds: Finds, nth = 0): Change {
  return (calls) => {
    const at = placeOf(calls, finds, nth);
    const again = { ...calls[at]!, seq: calls[at]!.seq + 1 };
    return [...calls.slice(0, at + 1), again, ...calls.slice(at + 1)];
  };
}

/** Makes the call right before another one: too early, or too late. */
export function moveBefore(finds: Finds, nth: number, target: Finds, targetNth = 0): Change {
  return (calls) => {
    const [from, to] = [placeOf(calls, finds, nth), placeOf(calls, target, targetNth)];
    const moved = { ...calls[from]!, seq: calls[to]!.seq - 1 };
    return calls.flatMap((call, at) => (at === to ? [moved, call] : at === from ? [] : [call]));
  };
}

/** Puts calls that other calls are made into right before one. */
export function insertBefore(finds: Finds, nth: number, make: (call: Call) => readonly Call[]): Change {
  return (calls) => {
    const at = placeOf(calls, finds, nth);
    const made = make(calls[at]!).map((call, index, all) => {
      return { ...call, seq: calls[at]!.seq - all.length + index };
    });
    return [...calls.slice(0, at), ...made, ...calls.slice(at)];
  };
}

/** Changes one field of the struct of the nth such call. */
export function set(finds: Finds, nth: number, at: number, value: number | bigint): Change {
  return (calls) => {
    const place = placeOf(calls, finds, nth);
    return calls.map((call, index) =>
      index === place && call.op === 'ioctl' ? { ...call, arg: withNumber(call.arg, at, value) } : call,
    );
  };
}
