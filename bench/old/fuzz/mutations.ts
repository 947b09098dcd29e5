import type { Random } from './random.ts'

type Mutation = (random: Random, text: string, other: string) => string

/** Changes a text in one to four ways; now and then it comes out as it was. */
export function mutate(random: Random, text: string, other: string): string {
  let mutated = text
  for (let times = 1 + random.below(4); times > 0; times -= 1) {
    mutated = random.pick(mutations)(random, mutated, other)
  }
  return mutated
}

const odd = [...'=+/-_.,"\\ \t\r\n\0Aa0é\u00a0\u2028\ufeff%', '..', '%20', '😀', '\ud800', '==']
const headers = ['{}', '{"alg":"none"}', '{"alg":"HS256","typ":"at+jwt"}', 'null']

const mutations: readonly Mutation[] = [
  // One character becomes another one.
  (random, text) => splice(random, text, 1, random.pick(odd)),
  (random, text) => {
    const at = random.below(text.length)
    const code = text.charCodeAt(at) ^ (1 << random.below(8))
    return `${text.slice(0, at)}${String.fromCharCode(code)}${text.slice(at + 1)}`
  },
  // Something comes in, goes away, or comes twice.
  (random, text) => splice(random, text, 0, random.pick(odd)),
  (random, text) => splice(random, text, 1 + random.below(8), ''),
  (random, text) => {
    const at = random.below(text.length)
    return splice(random, text, 0, text.slice(at, at + random.below(40)))
  },
  (random, text) => text.slice(0, random.below(text.length + 1)),
  (random, text) => `${random.pick(odd)}${text}`,
  (random, text) => `${text}${random.pick(odd)}`,
  // The last character of a part: its unused bits.
  (random, text) => {
    const parts = text.split('.')
    const at = random.below(parts.length)
    const part = parts[at] ?? ''
    return parts.with(at, `${part.slice(0, -1)}${random.pick([...'BCDQRgh-_'])}`).join('.')
  },
  // Whole parts: exchanged, moved, emptied, of another token.
  (random, text, other) => {
    const [parts, others] = [text.split('.'), other.split('.')]
    return parts.with(random.below(parts.length), random.pick(others)).join('.')
  },
  (random, text) => random.shuffle(text.split('.')).join('.'),
  (random, text) => {
    const parts = text.split('.')
    return parts.with(random.below(parts.length), '').join('.')
  },
  (random, text) => {
    const header = Buffer.from(random.pick(headers)).toString('base64url')
    return [header, ...text.split('.').slice(1)].join('.')
  },
  (random, text) => {
    const parts = text.split('.')
    const at = random.below(parts.length)
    const bytes = Buffer.from(parts[at] ?? '', 'base64url')
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
    return parts.with(at, bytes.toString('base64url')).join('.')
  },
  // As a whole.
  (_random, text) => text.toLowerCase(),
  (_random, text) => text.toUpperCase(),
  (_random, text, other) => `${text}.${other}`,
  (random, text) => text.repeat(1 + random.below(3)),
  (random, text) => text.replaceAll('.', random.pick(['..', '', ',', '.\n', '%2E'])),
]

function splice(random: Random, text: string, count: number, inserted: string): string {
  const at = random.below(text.length + 1)
  return `${text.slice(0, at)}${inserted}${text.slice(at + count)}`
}
