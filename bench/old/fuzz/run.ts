import { isGatepassError } from '../../../src/core/errors.ts'
import type { Verifier } from '../../../src/verifier/index.ts'
import { makeToken } from './grammar.ts'
import {
  goodClaims,
  headerOf,
  type Material,
  makeMaterial,
  signParts,
  writeObject,
} from './material.ts'
import { mutate } from './mutations.ts'
import { Random } from './random.ts'

export interface FuzzOptions {
  readonly seed: number
  readonly inputs: number
  /** Told now and then how many are done. */
  readonly onProgress?: (done: number) => void
}

/** An input that was answered wrongly. */
export interface Failure {
  readonly at: number
  readonly input: string
  /** What is wrong with the answer. */
  readonly reason: string
}

export interface FuzzReport {
  readonly inputs: number
  /** How often each answer was given: `accepted`, or the code of an error. */
  readonly answers: Readonly<Record<string, number>>
  /** The first of them. */
  readonly failures: readonly Failure[]
}

interface Input {
  readonly text: string
  readonly isGood: boolean
  readonly verifier: Verifier
}

const failuresKept = 20
/** `verify` waits for a thread of the pool; each so manieth input goes through it as well. */
const asyncEvery = 16
const progressEvery = 10_000

/**
 * Presents texts to a verifier: tokens by a grammar, each with one defect or with none, and good
 * tokens that were damaged. What is good must be accepted, all else refused, and nothing thrown but
 * a GatepassError that blames the token.
 */
export async function fuzz({ seed, inputs, onProgress }: FuzzOptions): Promise<FuzzReport> {
  const random = new Random(seed)
  const material = makeMaterial()
  const nextInput = createSource(random, material)
  const answers: Record<string, number> = {}
  const failures: Failure[] = []
  for (let at = 0; at < inputs; at += 1) {
    const { text, isGood, verifier } = nextInput()
    const answer = answerOf(() => verifier.verifySync(text))
    answers[answer] = (answers[answer] ?? 0) + 1
    const later = at % asyncEvery === 0 ? await answerOfAsync(() => verifier.verify(text)) : answer
    const reason = findFault(answer, later, isGood)
    if (reason !== null && failures.length < failuresKept)
      failures.push({ at, input: text, reason })
    if (at % progressEvery === 0) onProgress?.(at)
  }
  await Promise.all([material.plain.close(), material.encrypted.close()])
  return { inputs, answers, failures }
}

function findFault(answer: string, later: string, isGood: boolean): string | null {
  if (later !== answer) return `verifySync says ${answer}, verify ${later}`
  if (isGood) return answer === 'accepted' ? null : `a good token is refused: ${answer}`
  if (answer === 'accepted') return 'it is accepted'
  return answer.startsWith('token_') ? null : `the answer is ${answer}`
}

/** Gives one input after the other. One in five is for the verifier that decrypts. */
function createSource(random: Random, material: Material): () => Input {
  const signed = material.keys.map((key) =>
    signParts(key, Buffer.from(writeObject(headerOf(key))), Buffer.from(writeObject(goodClaims))),
  )
  const sealed = signed.map((token) => material.seal(token))
  return () => {
    const isEncrypted = random.oneIn(5)
    const verifier = isEncrypted ? material.encrypted : material.plain
    const good = isEncrypted ? sealed : signed
    const form = random.below(10)
    if (form < 5) {
      const text = mutate(random, random.pick(good), random.pick([...signed, ...sealed]))
      return { text, isGood: good.includes(text), verifier }
    }
    if (form < 9) {
      const { token, isGood } = makeToken(random, material)
      return { text: isEncrypted ? material.seal(token) : token, isGood, verifier }
    }
    // The other kind of token, and noise.
    const text = random.oneIn(2) ? random.pick(isEncrypted ? signed : sealed) : noise(random)
    return { text, isGood: false, verifier }
  }
}

function noise(random: Random): string {
  const bytes = random.bytes(random.below(300))
  return random.oneIn(2)
    ? bytes.toString('latin1')
    : Array.from(bytes, (byte) => (byte < 20 ? '.' : String.fromCharCode(33 + (byte % 94)))).join(
        '',
      )
}

function answerOf(check: () => unknown): string {
  try {
    check()
    return 'accepted'
  } catch (error) {
    return nameOf(error)
  }
}

async function answerOfAsync(check: () => Promise<unknown>): Promise<string> {
  try {
    await check()
    return 'accepted'
  } catch (error) {
    return nameOf(error)
  }
}

function nameOf(error: unknown): string {
  return isGatepassError(error) ? error.code : `no error of ours: ${String(error)}`
}
