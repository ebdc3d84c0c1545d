import { pageOf } from './address.ts';
import { locatePage, type PageIdentity, type RuledPages, type UserMemory } from './user-memory.ts';

/**
 * What memory holds, said by a rule: a marker such as `buf 0x100000 byte[i]=(i*31+(i>>12))&255, huge 0x200000
 * all 0x77` tells of every byte of the mapping at each address, i counting from its start. A page is made
 * when somebody looks at it.
 */

const RULES = /\b(0x[0-9a-f]+) (?:byte\[i\]=([^,;]+)|all (0x[0-9a-f]+|[0-9]+)(?=[,;]|$))/g;

type Rule = (i: number) => number;

/** Keeps the rules in a marker's text for the mappings that begin at the addresses it names. */
export function noteRules(memory: UserMemory, mm: number, text: string): void {
  for (const [, address, expression, constant] of text.matchAll(RULES)) {
    const rule = (expression ?? constant)!.trim();
    if (parseRule(rule) === null) continue;
    const first = pageOf(BigInt(address!));
    const range = memory.spaces[mm]!.ranges.find(({ firstPage }) => firstPage === first);
    if (range === undefined || range.backing === null) continue;
    const { object, page } = locatePage(memory, mm, first);
    const lastPage = page + (range.lastPage - range.firstPage);
    // What was known before is no longer so.
    const pages = memory.contents.get(object);
    for (const known of [...(pages?.keys() ?? [])])
      if (known >= page && known <= lastPage) pages!.delete(known);
    memory.ruled.push({ object, firstPage: page, lastPage, rule });
  }
}

/** The 4096 bytes of a page that a rule tells, or null. */
export function ruledPage(memory: UserMemory, { object, page }: PageIdentity): Uint8Array | null {
  const ruled = memory.ruled.findLast((range) => isIn(range, object, page));
  const rule = ruled === undefined ? null : parseRule(ruled.rule);
  if (ruled === undefined || rule === null) return null;
  const start = (page - ruled.firstPage) * 4096;
  return Uint8Array.from({ length: 4096 }, (_, at) => rule(start + at) & 255);
}

function isIn({ object, firstPage, lastPage }: RuledPages, inObject: number, page: number): boolean {
  return object === inObject && page >= firstPage && page <= lastPage;
}

/** Operators of C on integers, weakest first; those of one line bind alike. */
const OPERATORS: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { '|': (a, b) => a | b },
  { '^': (a, b) => a ^ b },
  { '&': (a, b) => a & b },
  { '<<': (a, b) => a << b, '>>': (a, b) => a >> b },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b },
];

const TOKEN = /\s*(0x[0-9a-f]+|[0-9]+|i|<<|>>|[-+*&|^()])/y;

/** An expression in `i`, or null when it is none. */
export function parseRule(text: string): Rule | null {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const token = TOKEN.exec(text)?.[1];
    if (token === undefined) return null;
    tokens.push(token);
  }
  const rule = parseLevel(tokens, 0);
  return tokens.length === 0 ? rule : null;
}

/** Takes an expression whose operators bind as those of the level or stronger off the front. */
function parseLevel(tokens: string[], level: number): Rule | null {
  const operators = OPERATORS[level];
  if (operators === undefined) return parseOperand(tokens);
  let left = parseLevel(tokens, level + 1);
  while (left !== null && tokens.length > 0 && Object.hasOwn(operators, tokens[0]!)) {
    const operator = operators[tokens.shift()!]!;
    const [first, second]: [Rule, Rule | null] = [left, parseLevel(tokens, level + 1)];
    left = second === null ? null : (i) => operator(first(i), second(i));
  }
  return left;
}

function parseOperand(tokens: string[]): Rule | null {
  const token = tokens.shift();
  if (token === undefined) return null;
  if (token === 'i') return (i) => i;
  if (token !== '(') return Number.isNaN(Number(token)) ? null : () => Number(token);
  const inner = parseLevel(tokens, 0);
  return tokens.shift() === ')' ? inner : null;
}
