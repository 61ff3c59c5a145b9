import { Random } from './random.ts';

/**
 * Text as people write it, as far as a compressor can tell: words of a vocabulary by Zipf's law (the n-th most frequent is
 * used about 1/n as often), of which most are followed by one of a few; three sentences in ten have been written just so
 * by others; and support agents begin and end with one of their set pieces.
 */
const VOCABULARY = 20_000;
const FOLLOWERS = 8;
const FOLLOWER_SHARE = 85;
const PHRASES = 20000;
const PHRASE_SHARE = 15;
const SET_PIECES = 60;
const SET_PIECE_SHARE = 15;

const ONSETS = ' b c d f g j l m n p r s t v z br cr dr fr gr pr tr ch lh nh qu gu pl bl'.split(' ');
const VOWELS = 'a a a e e e i i o o u ã ão é ou ei ia io'.split(' ');
const CODAS = ['', '', '', '', '', 's', 's', 'r', 'm', 'n', 'l'];

const fixed = new Random(20_261_120);
const words = Array.from({ length: VOCABULARY }, (_, rank) => {
  const syllables = rank < 30 ? 1 : rank < 300 ? 2 : 2 + fixed.below(3);
  return Array.from({ length: syllables }, () => fixed.pick(ONSETS) + fixed.pick(VOWELS) + fixed.pick(CODAS)).join('');
});
const followers = Uint16Array.from({ length: VOCABULARY * FOLLOWERS }, () => rank(fixed, VOCABULARY));
const phrases = Array.from({ length: PHRASES }, () => sentence(fixed, 6 + fixed.below(10)));
const setPieces = Array.from({ length: SET_PIECES }, () => `${sentence(fixed, 8)} ${sentence(fixed, 12)}`);

/** A number from 0 to below `limit`, small ones by Zipf's law more often: a share of the logarithm is just that. */
export function rank(random: Random, limit: number): number {
  return Math.floor(limit ** (random.below(1_000_000) / 1_000_000)) - 1;
}

export function word(random: Random): string {
  return words[rank(random, VOCABULARY)] ?? '';
}

export function message(random: Random): string {
  const parts: string[] = [];
  const fromAgent = random.below(100) < SET_PIECE_SHARE;
  if (fromAgent) parts.push(random.pick(setPieces));
  for (let more = random.below(5) + 1; more > 0; more -= 1) {
    parts.push(random.below(100) < PHRASE_SHARE ? random.pick(phrases) : sentence(random, 4 + random.below(18)));
  }
  if (fromAgent) parts.push(random.pick(setPieces));
  return parts.join(' ');
}

function sentence(random: Random, length: number): string {
  let current = rank(random, VOCABULARY);
  let text = words[current] ?? '';
  for (let count = 1; count < length; count += 1) {
    const follows = random.below(100) < FOLLOWER_SHARE;
    current = follows ? (followers[current * FOLLOWERS + rank(random, FOLLOWERS)] ?? 0) : rank(random, VOCABULARY);
    text += ` ${words[current] ?? ''}`;
  }
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${random.below(5) === 0 ? '?' : '.'}`;
}
