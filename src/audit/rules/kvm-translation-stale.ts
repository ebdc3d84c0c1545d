import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const kvmTranslationStale: Rule = {
  id: 'kvm-translation-stale',
  severity: 'error',
  title: 'A virtual CPU still translates to a PASID that is given back',
  doc: {
    detects: text(
      "A PASID that goes back to its allocator while the CPU's table of a virtual machine still translates a",
      'number of its guest to it. Traces of the proposals of 2021 have such tables.',
    ),
    why: text(
      "ENQCMD of the guest goes on sending the number, which reaches the next owner's address space: the",
      'kernel of the proposals does not check it.',
    ),
    fix: 'KVM_UNMAP_PASID first, and detach the device afterwards.',
    falseAlarms: 'A guest that never submits work again; nothing in a trace shows that.',
    source: 'proposal of 2021-05-27, sections 3 and 4; docs/proposal-choices.md',
  },
  start: ({ kernel }, report) => ({
    finish() {
      for (const { id, seq, says } of kernel.state.proposal?.findings ?? []) {
        if (id !== 'kvm-translation-stale') continue;
        report({ seq, message: says, chain: [{ seq, role: 'given back', says }] });
      }
    },
  }),
};
