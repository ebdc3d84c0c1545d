import type { ApiCall } from '../call.ts';
import { EMPTY_HEADER } from '../parse-header.ts';
import type { ForeignFormat, ImportSink, LineImporter } from './importer.ts';

/**
 * The kernel's trace events of the system `iommu` (include/trace/events/iommu.h), as the file `trace`,
 * `trace-cmd report` or `perf script` print them. They tell what the kernel did to page tables, not what a
 * program asked: one IOMMU_IOAS_MAP is one event for each run of pages that lie together, and drivers of the
 * machine map too. So they become calls of functions of the kernel, with the domain missing, and not ioctls.
 */
export const FTRACE: ForeignFormat = {
  name: 'ftrace',
  title: "ftrace's or trace-cmd's text, with the events of iommu",
  header: { ...EMPTY_HEADER, producer: 'ftrace' },
  detects: (line) =>
    /^# tracer: /.test(line) ||
    lostIn(line) !== null ||
    (/[: ](?:iommu:)?\w+: +IOMMU:/.test(line) && matchLine(line) !== null),
  start: startFtrace,
};

/** Name of the interface that these calls belong to. */
const GENERATION = 'linux-iommu';

/**
 * Task and pid, CPU, flags where there are any, time, event, and what it says. The latency format (`-l`) puts
 * CPU and flags together, and microseconds behind. Clocks that count ticks have no fraction.
 */
const TASK = '^(?<task>.{0,40}?)-(?<pid>\\d{1,10})\\s+(?:\\(\\s*[\\d-]+\\)\\s+)?';
const CPU = '(?:\\[\\d{1,5}\\]\\s+(?:[a-zA-Z0-9.#]{4,6}\\s+)?|\\d{1,5}[a-zA-Z.#][a-zA-Z0-9.#]{3,5}\\s+)';
const TIME = '(?:(?<s>\\d{1,10})\\.(?<part>\\d{3,9})|(?<us>\\d{1,15})us ?[+!#*@$]?|\\d{1,20}) ?: +';
const EVENT = '(?:\\w+:)?(?<event>\\w+): ?(?<text>.*)$';
const LINE = new RegExp(`${TASK}${CPU}${TIME}${EVENT}`);
/** `perf script`: no dash between task and pid, and the CPU only with `-a`. */
const PERF_LINE = new RegExp(
  '^(?<task>.{0,40}?)\\s+(?<pid>\\d{1,10})(?:\\/\\d+)?\\s+(?:\\[\\d{1,5}\\]\\s+)?' +
    `${TIME}(?:\\d{1,20} +)?${EVENT}`,
);
/** Of `trace_pipe`, of `trace-cmd report`, and of `perf script --show-lost-events`. */
const LOST = [
  /^CPU:\d+ \[LOST (?:(\d{1,15}) )?EVENTS\]/,
  /^CPU:\d+ \[(?:(\d{1,15}) )?EVENTS DROPPED\]/,
  /PERF_RECORD_LOST(?:_SAMPLES)?\b(?:.*?\blost (\d{1,15}))?/,
];
const WRITTEN = /^# entries-in-buffer\/entries-written: (\d{1,15})\/(\d{1,15})/;

/** Longest line of an event: what follows is a name or two, and numbers. */
const LINE_CHARS_MAX = 1024;

function matchLine(line: string): RegExpExecArray | null {
  // Blanks in front are cut off first: the patterns would try each of them as the end of a name.
  const text = line.trimStart();
  return text.length > LINE_CHARS_MAX ? null : (LINE.exec(text) ?? PERF_LINE.exec(text));
}

/** How many events a line says were lost; null where it does not speak of any. */
function lostIn(line: string): { readonly events: number | null } | null {
  for (const pattern of LOST) {
    const match = pattern.exec(line);
    if (match !== null) return { events: match[1] === undefined ? null : Number(match[1]) };
  }
  return null;
}

/** Nanoseconds of an event; null where the clock counts ticks. */
function timeOf({ s, part, us }: Readonly<Record<string, string | undefined>>): number | null {
  if (us !== undefined) return Number(us) * 1000;
  if (s === undefined) return null;
  const tNs = Number(s) * 1_000_000_000 + Number(part!.padEnd(9, '0'));
  return Number.isSafeInteger(tNs) ? tNs : null;
}

type Args = Readonly<Record<string, string | number>>;

/** What an event says of a call; null when its text is damaged. */
type EventReader = (text: string) => {
  readonly name: string;
  readonly args: Args;
  readonly out: Args;
  readonly ret: number;
  readonly missing: readonly string[];
} | null;

const HEX = '0x([0-9a-f]{1,16})';
const MAP = new RegExp(`^IOMMU: iova=${HEX}(?: - ${HEX})? paddr=${HEX} size=(0x[0-9a-f]+|\\d+)$`);
const UNMAP = new RegExp(
  `^IOMMU: iova=${HEX}(?: - ${HEX})? size=(0x[0-9a-f]+|\\d+) unmapped_size=(0x[0-9a-f]+|\\d+)$`,
);
const DEVICE = /^IOMMU: device=(\S+)$/;
const GROUP = /^IOMMU: groupID=(-?\d{1,10}) device=(\S+)$/;
const FAULT = new RegExp(`^IOMMU:(\\S+) (\\S+) iova=${HEX} flags=${HEX}$`);

const hex = (digits: string): string => `0x${BigInt(`0x${digits}`).toString(16)}`;
const sizeOf = (text: string): string => `0x${BigInt(text).toString(16)}`;

const EVENTS: ReadonlyMap<string, EventReader> = new Map<string, EventReader>([
  [
    'map',
    (text) => {
      const match = MAP.exec(text);
      if (match === null) return null;
      const args = { iova: hex(match[1]!), paddr: hex(match[3]!), size: sizeOf(match[4]!) };
      return { name: 'iommu_map', args, out: {}, ret: 0, missing: ['args.domain', 'args.prot'] };
    },
  ],
  [
    'unmap',
    (text) => {
      const match = UNMAP.exec(text);
      if (match === null) return null;
      const args = { iova: hex(match[1]!), size: sizeOf(match[3]!) };
      const out = { unmapped: sizeOf(match[4]!) };
      return { name: 'iommu_unmap', args, out, ret: 0, missing: ['args.domain'] };
    },
  ],
  [
    'attach_device_to_domain',
    (text) => {
      const device = DEVICE.exec(text)?.[1];
      const missing = ['args.domain'];
      return device === undefined
        ? null
        : { name: 'iommu_attach_device', args: { device }, out: {}, ret: 0, missing };
    },
  ],
  [
    'detach_device_from_domain',
    (text) => {
      const device = DEVICE.exec(text)?.[1];
      const missing = ['args.domain'];
      return device === undefined
        ? null
        : { name: 'iommu_detach_device', args: { device }, out: {}, ret: 0, missing };
    },
  ],
  ['add_device_to_group', (text) => groupEvent('iommu_group_add_device', text)],
  ['remove_device_from_group', (text) => groupEvent('iommu_group_remove_device', text)],
  [
    'io_page_fault',
    (text) => {
      const match = FAULT.exec(text);
      if (match === null) return null;
      const args = { driver: match[1]!, device: match[2]!, iova: hex(match[3]!), flags: hex(match[4]!) };
      return { name: 'report_iommu_fault', args, out: {}, ret: 0, missing: ['ret'] };
    },
  ],
]);

function groupEvent(name: string, text: string): ReturnType<EventReader> {
  const match = GROUP.exec(text);
  if (match === null) return null;
  return { name, args: { group: Number(match[1]), device: match[2]! }, out: {}, ret: 0, missing: [] };
}

function startFtrace(sink: ImportSink): LineImporter {
  const event = (groups: Readonly<Record<string, string>>): void => {
    const name = groups['event']!;
    const text = groups['text']!.trim();
    const reader = EVENTS.get(name);
    const told = reader?.(text) ?? null;
    if (told === null) {
      // Other systems have events of these short names.
      sink.skip(reader === undefined || !text.startsWith('IOMMU:') ? name : `${name} (damaged)`);
      return;
    }
    const hasReply = !told.missing.includes('ret');
    const call: Omit<ApiCall, 'seq'> = {
      op: 'call',
      pid: Number(groups['pid']),
      tid: Number(groups['pid']),
      tNs: timeOf(groups),
      extra: { task: groups['task']!.trim() },
      replied: hasReply,
      ret: told.ret,
      errno: 0,
      generation: GENERATION,
      name: told.name,
      fd: -1,
      args: told.args,
      out: hasReply ? told.out : null,
      ...(told.missing.length === 0 ? {} : { partial: { missing: told.missing } }),
    };
    sink.call(call);
  };

  return {
    line(line) {
      if (line.startsWith('#')) {
        const written = WRITTEN.exec(line);
        if (written !== null && Number(written[2]) > Number(written[1]))
          sink.lost(Number(written[2]) - Number(written[1]));
        sink.skip('comment');
        return;
      }
      const lost = lostIn(line);
      if (lost !== null) {
        sink.lost(lost.events);
        return;
      }
      const match = matchLine(line);
      if (match !== null) event(match.groups!);
      else
        sink.skip(/^(?:cpus=\d+|CPU \d+ is empty|version = )/.test(line) ? 'words of trace-cmd' : 'message');
    },
    end: () => undefined,
  };
}
