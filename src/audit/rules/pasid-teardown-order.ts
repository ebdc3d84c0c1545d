import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const pasidTeardownOrder: Rule = {
  id: 'pasid-teardown-order',
  severity: 'error',
  title: 'A PASID is taken out of use in the wrong order',
  doc: {
    detects: text(
      'A step of taking a PASID out of use that comes before one that must precede it: stop the',
      'device, clear the entry, invalidate the caches, drain page requests, flush, put. Traces of',
      'ioasid V4 (2021) tell these steps.',
    ),
    why: text(
      'An entry that is cleared while the device runs is read half torn; a drain before the',
      'invalidation lets new requests in; a number that is put before its flush is given out with old',
      'translations.',
    ),
    fix: 'Keep the order that the message names. In the merged API the kernel does all of it in a detach.',
    falseAlarms: 'None are known: the order is the one that the drivers of that time documented.',
    source: 'ioasid V4 (2021), documentation of the life cycle; docs/proposal-choices.md',
  },
  start: ({ kernel }, report) => ({
    finish() {
      for (const { id, seq, says } of kernel.state.proposal?.findings ?? []) {
        if (id !== 'pasid-teardown-order') continue;
        report({ seq, message: says, chain: [{ seq, role: 'out of order', says }] });
      }
    },
  }),
};
