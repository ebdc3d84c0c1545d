import type { ChainLink } from '../lint/finding.ts';
import { holdersFor, objectOf } from '../lint/holders.ts';
import { argU32, contextOf } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, listed, text } from '../lint/text.ts';

/** Offset of the id in struct iommu_destroy. */
const ID = 4;
/** Attempts without a change from which on it is a loop. */
const ATTEMPTS = 3;

interface Attempt {
  readonly key: string;
  readonly seqs: number[];
}

export const destroyBusyLoop: Rule = {
  id: 'destroy-busy-loop',
  severity: 'warning',
  title: 'A busy object is destroyed over and over',
  doc: {
    detects: text(
      'Three or more IOMMU_DESTROY of one object that are refused with EBUSY while the same holders',
      'hold it. Told at the third; later ones of the same loop are not told again.',
    ),
    why: text(
      'EBUSY of IOMMU_DESTROY is not a matter of time: nothing but a call of the program lets go of',
      'the object. A loop that waits never ends.',
    ),
    fix: text(
      'Let go of what holds the object first; the finding names it. Retry only after something was',
      'released.',
    ),
    falseAlarms: 'None are known: the holders are compared between the attempts.',
    source: 'main.c iommufd_object_remove',
  },
  start(world, report) {
    const attempts = new Map<string, Attempt>();
    return { refused: { 'object-in-use': () => countAttempt(world, report, attempts) } };
  },
};

function countAttempt(world: LintWorld, report: Report, attempts: Map<string, Attempt>): void {
  const { kernel, call, lives } = world;
  const context = contextOf(kernel, call);
  const id = argU32(call, ID);
  const object = objectOf(kernel, context, id);
  if (object === undefined) return;
  const life = lives.find(context, id);
  const { texts, links } = holdersFor(world, context, object);
  const key = `${life?.bornSeq} ${texts.join()}`;
  const where = `${context} ${id}`;
  const known = attempts.get(where);
  const attempt = known?.key === key ? known : { key, seqs: [] };
  attempts.set(where, attempt);
  attempt.seqs.push(call.seq);
  if (attempt.seqs.length !== ATTEMPTS) return;
  const name = label(object.type, id);
  const tries = attempt.seqs.map((seq): ChainLink => {
    return { seq, role: 'destroyed', says: `IOMMU_DESTROY of ${name} is refused` };
  });
  report({
    message: `${name} was refused to go ${ATTEMPTS} times, and nothing let go of it: ${listed(texts)}`,
    chain: [...(life === undefined ? [] : [bornLink(life)]), ...links, ...tries],
  });
}
