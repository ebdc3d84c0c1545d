import { callName } from '../../../replay/index.ts';
import { adviceOn } from '../../model/index.ts';
import { explainRefusal, hereLink } from './refusal.ts';
import type { LintWorld, Listener, Report } from './rule.ts';
import { listed, text } from './text.ts';

/**
 * Listeners that tell of refusals as they are, for reasons that a program which knows what it did never
 * meets: what the check says, what in the state stood in the way, and what usually is behind it.
 */
export function tellRefused(
  world: LintWorld,
  report: Report,
  reasons: readonly string[],
): Readonly<Record<string, Listener>> {
  const tell = (): void => {
    const { reason, record } = world.call;
    if (reason === null) return;
    const advice = adviceOn(reason.id);
    const { texts, links } = explainRefusal(world);
    const name = callName(record);
    report({
      message: text(
        `${name} is refused: ${reason.says}${texts.length === 0 ? '' : ` (${listed(texts, 3)})`}`,
        advice === null ? '' : `\u2014 usually because ${advice.cause}`,
      ).trim(),
      ...(advice === null ? {} : { fix: sentence(advice.cure) }),
      chain: [...links, hereLink(world, 'refused', `${name} is refused`)],
    });
  };
  return Object.fromEntries(reasons.map((id) => [id, tell]));
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}
