import type { Kernel } from '../../model/index.ts';
import type { ChainLink } from './finding.ts';
import type { LintCall } from './lint-call.ts';
import { label } from './text.ts';

type Queue = Extract<Kernel['state']['contexts'][number]['objects'][number], { type: 'fault' }>;
type Group = Queue['deliver'][number];

/** One group of page requests of a device, from report to answer. */
export interface FaultStory {
  readonly context: number;
  readonly queue: number;
  readonly group: Group;
  readonly device: number;
  readonly reportedSeq: number;
  /** Null while nobody has read it. */
  readSeq: number | null;
  cookie: number;
  /** How it ended; null while it waits. */
  endSeq: number | null;
  /** The kernel answered INVALID in place of the user. */
  isDropped: boolean;
}

/** The groups of all fault queues. Costs one comparison a call where there is no queue. */
export interface FaultBook {
  opened(context: number, id: number): void;
  reported(context: number, id: number): void;
  before(): void;
  after(): void;
  /** Groups that the call which is over took away unanswered. */
  readonly dropped: readonly FaultStory[];
  /** Groups that still wait, oldest first. */
  waiting(): readonly FaultStory[];
  /** The last group that had the cookie. */
  findCookie(context: number, queue: number, cookie: number): FaultStory | undefined;
}

export function createFaultBook(kernel: Kernel, call: LintCall): FaultBook {
  const queues: { readonly context: number; readonly id: number }[] = [];
  const live = new Map<Group, FaultStory>();
  const cookies = new Map<string, FaultStory>();
  const dropped: FaultStory[] = [];
  const queueOf = (context: number, id: number): Queue | undefined => {
    const object = kernel.state.contexts[context]?.objects[id];
    return object?.type === 'fault' ? object : undefined;
  };
  const look = (): void => {
    const there = new Set<Group>();
    for (const { context, id } of queues) {
      const queue = queueOf(context, id);
      if (queue === undefined) continue;
      for (const group of queue.deliver) there.add(group);
      for (const [cookie, group] of Object.entries(queue.responses)) {
        there.add(group);
        noteRead(group, context, id, Number(cookie));
      }
    }
    const isAnswer = call.record.op === 'write' || call.record.op === 'pwrite';
    for (const [group, story] of live) {
      if (there.has(group)) continue;
      live.delete(group);
      story.endSeq = call.seq;
      story.isDropped = !isAnswer;
      if (!isAnswer) dropped.push(story);
    }
  };
  const noteRead = (group: Group, context: number, id: number, cookie: number): void => {
    const story = live.get(group);
    if (story === undefined || story.readSeq !== null) return;
    story.readSeq = call.seq;
    story.cookie = cookie;
    cookies.set(`${context} ${id} ${cookie}`, story);
  };
  return {
    dropped,
    opened: (context, id) => void queues.push({ context, id }),
    reported(context, id) {
      const group = queueOf(context, id)?.deliver.at(-1);
      if (group === undefined) return;
      const { device } = group;
      const now = { readSeq: null, cookie: 0, endSeq: null, isDropped: false };
      live.set(group, { context, queue: id, group, device, reportedSeq: call.seq, ...now });
    },
    before() {
      if (dropped.length > 0) dropped.length = 0;
    },
    after() {
      if (live.size > 0) look();
    },
    waiting: () => [...live.values()].sort((a, b) => a.reportedSeq - b.reportedSeq),
    findCookie: (context, queue, cookie) => cookies.get(`${context} ${queue} ${cookie}`),
  };
}

/** The calls of a group: its report, its read, its end. */
export function faultLinks({ group, queue, ...story }: FaultStory): ChainLink[] {
  const where = label('fault', queue);
  const what = `page request of device ${story.device}`;
  const links: ChainLink[] = [{ seq: story.reportedSeq, role: 'reported', says: `${what} goes to ${where}` }];
  if (story.readSeq !== null)
    links.push({ seq: story.readSeq, role: 'read', says: `${what} is read, cookie ${story.cookie}` });
  if (story.endSeq !== null && story.isDropped)
    links.push({ seq: story.endSeq, role: 'dropped', says: `the kernel answers it INVALID` });
  if (story.endSeq !== null && !story.isDropped)
    links.push({ seq: story.endSeq, role: 'answered', says: `cookie ${story.cookie} is answered` });
  return links;
}
