/** The kernel's `iommu` trace events, as tracefs and trace-cmd print them: include/trace/events/iommu.h. */

interface EventBase {
  /** Line of the file, from 1. */
  readonly line: number;
  readonly task: string;
  readonly tid: number;
}

/** Pages are of 4096 bytes. */
export type IommuEvent = EventBase &
  (
    | { readonly kind: 'map'; readonly page: number; readonly count: number; readonly frame: number }
    | { readonly kind: 'unmap'; readonly page: number; readonly count: number; readonly unmapped: number }
    | { readonly kind: 'attach'; readonly bdf: string }
    | { readonly kind: 'fault'; readonly bdf: string; readonly page: number; readonly write: boolean }
  );

export interface Ftrace {
  readonly events: readonly IommuEvent[];
  /** Events that the kernel says were lost: overwritten at the start, or dropped under load. */
  readonly overwritten: number;
  readonly lost: number;
}

/** `comm-tid [cpu] flags time: event: …`; the flags and a thread group in parentheses may be missing. */
const LINE =
  /^\s*(.+)-(\d+)\s+(?:\(\s*[-\d]+\)\s+)?\[\d+\]\s+(?:\S+\s+)?\d+(?:\.\d+)?:\s+(?:iommu:)?(\w+):\s+(.*)$/;
const HEAD = /^# tracer: |^# entries-in-buffer\/entries-written: |^cpus=\d+$/m;
const WRITTEN = /^# entries-in-buffer\/entries-written: (\d+)\/(\d+)/m;
const LOST = /\[LOST (\d+) EVENTS\]/;
const MAP = /iova=0x([0-9a-f]+) - 0x[0-9a-f]+ paddr=0x([0-9a-f]+) size=(\d+)/;
const UNMAP = /iova=0x([0-9a-f]+) - 0x[0-9a-f]+ size=(\d+) unmapped_size=(\d+)/;
const ATTACH = /device=(\S+)/;
/** `IOMMU:<driver> <device> iova=… flags=…`: bit 0 of the flags is a write (IOMMU_FAULT_WRITE). */
const FAULT = /IOMMU:\s*\S+ (\S+) iova=0x([0-9a-f]+) flags=0x([0-9a-f]+)/;

/** Null for a text that is no such trace. */
export function parseFtrace(text: string): Ftrace | null {
  const events: IommuEvent[] = [];
  let lost = 0;
  text.split('\n').forEach((row, index) => {
    const [, task, tid, name, rest] = LINE.exec(row) ?? [];
    if (task === undefined) {
      lost += Number(LOST.exec(row)?.[1] ?? 0);
      return;
    }
    const event = eventOf({ line: index + 1, task: task.trim(), tid: Number(tid) }, name!, rest!);
    if (event !== null) events.push(event);
  });
  if (events.length === 0 && !HEAD.test(text)) return null;
  const [, kept = 0, written = 0] = WRITTEN.exec(text) ?? [];
  return { events, overwritten: Number(written) - Number(kept), lost };
}

function eventOf(base: EventBase, name: string, rest: string): IommuEvent | null {
  switch (name) {
    case 'map': {
      const [, iova, paddr, size] = MAP.exec(rest) ?? [];
      if (iova === undefined) return null;
      return { ...base, kind: 'map', page: pageOf(iova), count: Number(size) / 4096, frame: pageOf(paddr!) };
    }
    case 'unmap': {
      const [, iova, size, unmapped] = UNMAP.exec(rest) ?? [];
      if (iova === undefined) return null;
      const count = Number(size) / 4096;
      return { ...base, kind: 'unmap', page: pageOf(iova), count, unmapped: Number(unmapped) / 4096 };
    }
    case 'attach_device_to_domain': {
      const [, bdf] = ATTACH.exec(rest) ?? [];
      return bdf === undefined ? null : { ...base, kind: 'attach', bdf };
    }
    case 'io_page_fault': {
      const [, bdf, iova, flags] = FAULT.exec(rest) ?? [];
      if (bdf === undefined) return null;
      return {
        ...base,
        kind: 'fault',
        bdf,
        page: pageOf(iova!),
        write: (Number.parseInt(flags!, 16) & 1) === 1,
      };
    }
    default:
      return null;
  }
}

function pageOf(hex: string): number {
  return Number(BigInt(`0x${hex}`) >> 12n);
}
