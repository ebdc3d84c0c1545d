import type { DescriptorTable } from './descriptors.ts';
import type { ImportSink } from './importer.ts';

/** Who made a copy, and when. */
interface At {
  readonly pid: number;
  readonly tid: number | null;
  readonly tNs: number | null;
}

/**
 * dup and its like, as a capture tells it: an `open` that says `via` and `of`. The new number may have been
 * another descriptor, which is closed. False when neither is one of iommufd or VFIO.
 */
export function copyDescriptor(
  sink: ImportSink,
  table: DescriptorTable,
  { pid, tid, tNs }: At,
  from: number,
  to: number,
): boolean {
  const kind = table.kindOf(pid, from);
  if (from === to) return false;
  const shared = { pid, tid, tNs, replied: true, errno: 0 };
  const before = table.closed(pid, to);
  if (before !== undefined)
    sink.call({ op: 'close', ...shared, extra: { by: 'dup' }, ret: 0, fd: to, kind: before });
  if (kind === undefined) return before !== undefined;
  table.copied(pid, from, to);
  const extra = { via: 'dup', of: from };
  sink.call({
    op: 'open',
    ...shared,
    extra,
    ret: to,
    fd: to,
    kind,
    path: '',
    flags: 0n,
    partial: { missing: ['path'] },
  });
  return true;
}
