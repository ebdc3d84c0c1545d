import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const unexplainedAnswer: Rule = {
  id: 'unexplained-answer',
  severity: 'warning',
  title: 'The kernel answered otherwise than the model',
  doc: {
    detects: text(
      'A recorded answer that differs from what the model predicts: what `ioasis replay` calls a',
      'divergence.',
    ),
    why: text(
      'Either calls are missing in the trace (a recorder that lost events, a trace that was cut), or',
      'the kernel has a bug, or the model has one. Findings about later calls rest on the recorded',
      'answer then.',
    ),
    fix: text(
      '`ioasis explain TRACE --at SEQ` shows which check the model stopped at. Look for a call before',
      'this one that is not in the trace: an id that nobody made, a range that nobody mapped.',
    ),
    falseAlarms: text(
      'docs/conformance.md lists the recorded answers of real kernels that the model does not give.',
    ),
    source: 'replay/compare.ts',
  },
  start: (_, report) => ({
    diverged({ seq, call, field, recorded, predicted, says }) {
      const why = says === null ? '' : `: ${says}`;
      report({
        seq,
        message: `${call}: ${field} was ${recorded}, and the model says ${predicted}${why}`,
        chain: [{ seq, role: 'answered', says: `${field} ${recorded} where ${predicted} was expected` }],
      });
    },
  }),
};
