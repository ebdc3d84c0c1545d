import type { Divergence, ReplayWatcher } from '../../../replay/index.ts';
import type { EffectSink, Kernel } from '../../model/index.ts';
import type { Call, CallOp } from '../../trace/index.ts';
import type { AreaBook } from './area-book.ts';
import type { Attachments } from './attachments.ts';
import type { FaultBook } from './fault-book.ts';
import type { ChainLink, LintFinding, Severity } from './finding.ts';
import type { IotlbBook } from './iotlb-book.ts';
import type { LintCall } from './lint-call.ts';
import type { ObjectLives } from './object-lives.ts';
import type { PasidBook } from './pasid-book.ts';

/** What a person reads about a rule; docs/lint-rules.md is written from it. */
export interface RuleDoc {
  /** What is looked for, exactly. */
  readonly detects: string;
  /** What goes wrong when it is there. */
  readonly why: string;
  readonly fix: string;
  /** When it is reported and nothing is wrong; what real programs do. */
  readonly falseAlarms: string;
  /** Kernel function, section of a specification, commit: where the rule comes from. */
  readonly source: string;
}

/** One thing to look for in a trace. */
export interface Rule {
  /** Stable for ever. */
  readonly id: string;
  /** The usual one; a finding may be milder. */
  readonly severity: Severity;
  /** One line. */
  readonly title: string;
  readonly doc: RuleDoc;
  /** Looks at the caches of the IOMMUs too: it is started once more when the trace tells of accesses. */
  readonly seesCaches?: true;
  /** Begins to watch a trace. */
  readonly start: (world: LintWorld, report: Report) => RuleListener;
}

/** What all rules see of the trace so far. */
export interface LintWorld {
  /** The kernel that the replay steps: as before the call in `before`, as after it otherwise. */
  readonly kernel: Kernel;
  readonly call: LintCall;
  readonly lives: ObjectLives;
  readonly areas: AreaBook;
  readonly attachments: Attachments;
  readonly faults: FaultBook;
  readonly pasids: PasidBook;
  /** Null in the pass that does not follow the caches of the IOMMUs. */
  readonly iotlb: IotlbBook | null;
  /** A record with all that was recorded, thread and time too; for the end of the trace, it reads the log. */
  readonly recordAt: (seq: number) => Call | null;
}

/** A finding without what the rule knows already. */
export interface Reported {
  readonly message: string;
  /** Oldest first; links of the same call and role are told once. */
  readonly chain: readonly ChainLink[];
  /** The call that it is about; the current one when not given. */
  readonly seq?: number;
  /** The rule's own when not given. */
  readonly severity?: Severity;
  /** The rule's general advice when not given. */
  readonly fix?: string;
}

export type Report = (reported: Reported) => void;

export type Listener = (call: LintCall) => void;

/**
 * What a rule listens to. Commands are command words; the same word means different things on different
 * descriptors, so a listener of 0x3b70 to 0x3b75 looks at the kind of the record.
 */
export interface RuleListener {
  /** The kernel has not seen the ioctl yet. */
  readonly before?: Readonly<Record<number, Listener>>;
  /** The model has answered the ioctl. */
  readonly after?: Readonly<Record<number, Listener>>;
  /** The model refused a call, by id of the reason. */
  readonly refused?: Readonly<Record<string, Listener>>;
  /** Records of other kinds, once they are applied; `ioctl` hears of every one. */
  readonly ops?: Readonly<Partial<Record<CallOp, Listener>>>;
  /** Hears of every record, before and after, and of the effects. */
  readonly watcher?: ReplayWatcher;
  /** What the calls caused. Hot: nothing may be allocated in `rangeMapped` and `rangeUnmapped`. */
  readonly effects?: Partial<EffectSink>;
  /** The recorded answer was another one than the model's; told once the replay is over. */
  readonly diverged?: (divergence: Divergence) => void;
  /** The trace is over. */
  readonly finish?: () => void;
}

export type { LintFinding };
