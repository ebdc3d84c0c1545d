import { type Call, callToRecord, type IoctlCall, type JsonValue } from '../trace/index.ts';
import { errnoName, findIoctl, hexOf, type PlainValue, structToJson } from '../uapi/index.ts';

/** Plain JSON of a call. */
export type CallJson = Readonly<Record<string, JsonValue | PlainValue>>;

/**
 * A call as one JSON object: `seq`, `pid`, `op`, `name`, the decoded struct before (`arg`) and after (`out`),
 * `ret` and `errno` by name. `ret` and `errno` are null when no reply was recorded; `errno` also when the
 * call succeeded.
 */
export function jsonOfCall(call: Call, kernel = ''): CallJson {
  if (call.op === 'ioctl') return jsonOfIoctl(call, kernel);
  const { ret, errno, ...record } = callToRecord(call);
  const isNote = call.op === 'note' || !('errno' in call);
  if (isNote) return { ...record, name: call.op };
  const isAnswered = 'replied' in call ? call.replied : call.mapped !== null || call.errno !== 0;
  return { ...record, name: call.op, ...answerOf(isAnswered, ret ?? null, call.errno) };
}

function jsonOfIoctl(call: IoctlCall, kernel: string): CallJson {
  const entry = findIoctl(call.kind, call.cmd, kernel);
  const decode = (bytes: Uint8Array | null): PlainValue | null => {
    if (bytes === null) return null;
    return entry?.layout ? structToJson(entry.layout, bytes) : hexOf(bytes);
  };
  const { mem, newfd, partial } = callToRecord(call);
  return {
    seq: call.seq,
    pid: call.pid,
    op: call.op,
    fd: call.fd,
    kind: call.kind,
    cmd: `0x${call.cmd.toString(16)}`,
    name: entry?.name ?? null,
    argp: `0x${call.argp.toString(16)}`,
    arg: decode(call.arg),
    out: decode(call.out),
    ...(call.argFault ? { argfault: true } : {}),
    ...(call.mem.length === 0 ? {} : { mem: mem ?? null }),
    ...(newfd === undefined ? {} : { newfd }),
    ...(partial === undefined ? {} : { partial }),
    ...answerOf(call.replied, call.ret, call.errno),
  };
}

function answerOf(isAnswered: boolean, ret: JsonValue, errno: number): CallJson {
  return { ret: isAnswered ? ret : null, errno: errno === 0 ? null : errnoName(errno) };
}
