/**
 * A 64-bit sum in two 32-bit halves, made without BigInt: what millions of areas are told apart by. It is no
 * proof against anybody who wants two states to look alike.
 */
export interface Sum {
  high: number;
  low: number;
}

export function sum(high = 0, low = 0): Sum {
  return { high, low };
}

/** The finalizer of MurmurHash3 (public domain, Austin Appleby): every bit in changes every bit out. */
function scramble(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Takes in one more number, of at most 53 bits. */
export function addNumber(into: Sum, value: number): void {
  const upper = Math.floor(value / 4294967296) | 0;
  const lower = value | 0;
  into.high = scramble(Math.imul(into.high, 31) ^ lower) + Math.imul(upper, 0x9e3779b1);
  into.high |= 0;
  into.low = scramble((into.low + 0x7f4a7c15) ^ Math.imul(lower, 0x85ebca77) ^ upper);
}

export function addText(into: Sum, text: string): void {
  for (let at = 0; at < text.length; at += 1) addNumber(into, text.charCodeAt(at));
  addNumber(into, text.length);
}

/** 16 hex digits. */
export function sumText({ high, low }: Sum): string {
  return [high, low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
}

export function sumFrom(text: string): Sum {
  return sum(Number.parseInt(text.slice(0, 8), 16) | 0, Number.parseInt(text.slice(8), 16) | 0);
}
