import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCallOrder, type RecordedCall } from '../../src/cli/record/call-order.ts';
import { KINDS, OPS, RECORD, RECORD_TYPE } from '../../src/cli/record/channel-layout.ts';
import { readRecord, retOf } from '../../src/cli/record/raw-record.ts';

/** Takes all that stands before a moment, as `op fd`. */
function takeAll(order: ReturnType<typeof createCallOrder>, atNs: number): string[] {
  const found: string[] = [];
  for (let call = order.takeBefore(atNs); call !== null; call = order.takeBefore(atNs))
    found.push(nameOf(call));
  return found;
}

const nameOf = ({ request, answer }: RecordedCall): string =>
  `${request.op} ${request.fd}${answer === null ? ' unanswered' : ''}`;

interface Made {
  readonly type: keyof typeof RECORD_TYPE;
  readonly op: (typeof OPS)[number];
  readonly fd: number;
  readonly tNs: number;
  readonly call: number;
  readonly ret?: number;
  readonly cmd?: number;
}

function make({ type, op, fd, tNs, call, ret = 0, cmd = 0 }: Made): ReturnType<typeof readRecord> {
  const bytes = Buffer.alloc(RECORD.size);
  bytes.writeUInt32LE(RECORD.size, RECORD.bytes);
  bytes.writeUInt16LE(RECORD_TYPE[type], RECORD.type);
  bytes.writeUInt16LE(OPS.indexOf(op), RECORD.op);
  bytes.writeInt32LE(fd, RECORD.fd);
  bytes.writeBigUInt64LE(BigInt(tNs), RECORD.time);
  bytes.writeBigUInt64LE(BigInt(call), RECORD.call);
  bytes.writeBigInt64LE(BigInt(ret), RECORD.ret);
  bytes.writeUInt32LE(KINDS.indexOf('iommufd'), RECORD.kind);
  bytes.writeBigUInt64LE(BigInt(cmd), RECORD.args);
  return readRecord(bytes, 0, 1);
}

describe('the order of recorded calls', () => {
  test('puts a close before the open that got its number, though both overlap', () => {
    const order = createCallOrder();
    order.add(0, make({ type: 'enter', op: 'close', fd: 3, tNs: 10, call: 0 }));
    order.add(1, make({ type: 'whole', op: 'open', fd: 3, tNs: 30, call: 0 }));
    order.add(0, make({ type: 'exit', op: 'close', fd: -1, tNs: 40, call: 0 }));
    expect(takeAll(order, 100)).toEqual(['close 3', 'open 3']);
  });

  test('waits for a call that takes something away, and not for one that blocks', () => {
    const order = createCallOrder();
    order.add(0, make({ type: 'enter', op: 'ioctl', fd: 5, tNs: 5, call: 0, cmd: 0x3b85 }));
    order.add(0, make({ type: 'enter', op: 'ioctl', fd: 6, tNs: 10, call: 96, cmd: 0x3b86 }));
    order.add(1, make({ type: 'whole', op: 'read', fd: 7, tNs: 20, call: 0 }));
    expect(takeAll(order, 100)).toEqual([]);
    order.add(0, make({ type: 'exit', op: 'ioctl', fd: -1, tNs: 50, call: 96, ret: -1 }));
    expect(takeAll(order, 100)).toEqual(['ioctl 6', 'read 7']);
    order.end();
    expect(takeAll(order, 100)).toEqual(['ioctl 5 unanswered']);
  });

  test('pairs an answer with its own request, and drops one whose request is lost', () => {
    const order = createCallOrder();
    order.add(0, make({ type: 'enter', op: 'ioctl', fd: 1, tNs: 1, call: 0 }));
    order.add(0, make({ type: 'enter', op: 'ioctl', fd: 2, tNs: 2, call: 96 }));
    order.add(0, make({ type: 'exit', op: 'ioctl', fd: -1, tNs: 3, call: 96, ret: 22 }));
    order.add(0, make({ type: 'exit', op: 'ioctl', fd: -1, tNs: 4, call: 480, ret: 99 }));
    order.add(0, make({ type: 'exit', op: 'ioctl', fd: -1, tNs: 5, call: 0, ret: 11 }));
    const answers: (readonly [number, number])[] = [];
    for (let call = order.takeBefore(9); call !== null; call = order.takeBefore(9)) {
      answers.push([call.request.fd, retOf(call.answer!)]);
    }
    expect(answers).toEqual([
      [2, 22],
      [1, 11],
    ]);
  });

  test('is that of the clock whatever the order of arrival', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { maxLength: 200 }), fc.nat(1000), (times, until) => {
        const order = createCallOrder();
        for (const [fd, tNs] of times.entries()) {
          order.add(fd % 3, make({ type: 'whole', op: 'open', fd, tNs, call: fd }));
        }
        const expected = times
          .map((tNs, fd) => ({ tNs, fd }))
          .filter(({ tNs }) => tNs < until)
          .sort((a, b) => a.tNs - b.tNs || a.fd - b.fd);
        expect(takeAll(order, until)).toEqual(expected.map(({ fd }) => `open ${fd}`));
      }),
      { seed: 20261120 },
    );
  });
});
