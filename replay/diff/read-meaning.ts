import type { Call } from '../../src/trace/index.ts';
import { errnoName } from '../../src/uapi/index.ts';
import { callName } from '../compare.ts';
import type { Stepper } from '../timeline/index.ts';
import { bytesText, valueText } from './field-text.ts';
import { kvmFields, kvmName } from './kvm-fields.ts';
import type { Meaning, MeaningField } from './meaning.ts';
import { descriptorField, type MeaningReader, type Names, plain } from './meaning-reader.ts';
import { structFields } from './struct-fields.ts';

/** Turns a call that the model has just executed into what it means. */

const NONE: ReadonlySet<string> = new Set();

export function meaningOf(
  { kernel, tracker }: Stepper,
  call: Call,
  names: Names,
  ignored: ReadonlySet<string> = NONE,
): Meaning {
  const name = (call.op === 'ioctl' ? kvmName(call) : null) ?? callName(call);
  const reader: MeaningReader = { kernel, roles: tracker.roles, names, call };
  const all = [...targetFields(reader), ...argumentFields(reader), ...answerFields(reader)];
  const fields = all.filter((field) => !ignored.has(field.name) && !ignored.has(`${name}.${field.name}`));
  const { reason, errno } = kernel.reply;
  const isAsRecorded = 'errno' in call && call.errno === errno;
  return {
    seq: call.seq,
    name,
    kind: 'kind' in call ? call.kind : '',
    fields,
    shape: `${name} ${fields.map((field) => `${field.name}=${field.text}`).join(' ')}`,
    made: [...names.made],
    hardwareHigh: tracker.hardware.now.high,
    hardwareLow: tracker.hardware.now.low,
    changes: tracker.changes,
    why: reason !== null && isAsRecorded ? reason.says : '',
  };
}

/** What the descriptor stands for. */
function targetFields({ kernel, names, call }: MeaningReader): MeaningField[] {
  if (call.op === 'open') {
    const isNumbered = call.kind === 'iommufd' || call.kind === 'container';
    return [plain('path', isNumbered ? call.kind : call.path)];
  }
  if (call.op === 'call') return [];
  if (!('fd' in call) || !('kind' in call) || call.op === 'close')
    return 'kind' in call ? [plain('on', call.kind)] : [];
  return [descriptorField(kernel, names, call.pid, call.fd, 'on', call.kind)];
}

function argumentFields(reader: MeaningReader): MeaningField[] {
  const { call } = reader;
  switch (call.op) {
    case 'ioctl':
      return kvmName(call) === null ? structFields(reader, call) : kvmFields(reader, call);
    case 'mmap':
      return [plain('length', valueText(call.len)), plain('offset', valueText(call.off))];
    case 'read':
    case 'pread':
      return [
        plain('offset', valueText(call.off ?? 0n)),
        plain('length', String(call.len)),
        plain('data', bytesText(call.out)),
      ];
    case 'write':
    case 'pwrite':
      return [plain('offset', valueText(call.off ?? 0n)), plain('data', bytesText(call.arg))];
    case 'call':
      return [
        ...Object.entries(call.args).map(([name, value]) => plain(name, valueText(value))),
        ...Object.entries(call.out ?? {}).map(([name, value]) => plain(`answer.${name}`, valueText(value))),
      ];
    default:
      return [];
  }
}

function answerFields({ kernel, call }: MeaningReader): MeaningField[] {
  if (!('errno' in call) || !('replied' in call)) return [];
  if (!call.replied) return [plain('answer', 'not recorded')];
  if (call.errno !== 0) return [plain('answer', errnoName(call.errno))];
  const isDescriptor = call.op === 'open' || (call.op === 'ioctl' && kernel.call.retIsDescriptor);
  return [plain('answer', isDescriptor ? 'descriptor' : String(call.ret))];
}
