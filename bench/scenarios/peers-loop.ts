import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Comparison, Scenario } from '../harness/scenario.ts'
import { loop } from '../harness/subjects.ts'
import { rowName, wronglyTaken } from '../peers/samples.ts'
import type { Check, VerifierName } from '../peers/verifiers.ts'
import { type PeersMaterial, preparePeers, type TokenMix, tokenMixes } from './peers-tokens.ts'

const raw = 'crypto.verify, nothing else'

export const peersLoop: readonly Scenario[] = tokenMixes.map((mix) => ({
  name: `peers-loop-${mix.name}`,
  title: `libraries checking ${mix.label}, in one process and without a server`,
  async prepare(bench) {
    const material = await preparePeers(mix)
    const file = join(bench.scratch, 'tokens')
    writeFileSync(file, material.tokens.join('\n'))
    const module = new URL('../peers/verifier-loop.ts', import.meta.url)
    const trust = JSON.stringify(material.trust)
    const rows = await checkedRows(mix, material)
    return {
      subjects: [
        ...rows.map(({ verifier, name }) =>
          loop({ name, module, args: [verifier, trust, file] }, bench),
        ),
        loop(rawWork(), bench),
      ],
      comparisons: rows.flatMap(({ name }) => besideLimits(name, rows[0]?.name ?? '')),
    }
  },
}))

/** What each is beside the signature by itself; and Gatepass beside each. */
function besideLimits(name: string, ours: string): Comparison[] {
  const metric = 'per_core_second' as const
  return [
    { subject: name, metric, limit: raw },
    ...(name === ours ? [] : [{ subject: ours, metric, limit: name }]),
  ]
}

function verifiersOf({ areNew }: TokenMix): VerifierName[] {
  const ours: VerifierName[] = areNew ? ['gatepass, nothing kept'] : ['gatepass']
  const large: VerifierName[] = areNew ? [] : ['fast-jwt, cache for all']
  return [...ours, 'fast-jwt', ...large, 'jose', 'jsonwebtoken', 'aws-jwt-verify']
}

/** Each with the name that its row gets when it has been asked about tokens it must refuse. */
async function checkedRows(mix: TokenMix, { trust, samples }: PeersMaterial) {
  const { createCheck } = await import('../peers/verifiers.ts')
  const rows: { verifier: VerifierName; name: string }[] = []
  for (const verifier of verifiersOf(mix)) {
    const check = createCheck(verifier, trust)
    const taken = await wronglyTaken(samples, (token) => isAccepted(check, token))
    rows.push({ verifier, name: rowName(verifier, taken) })
  }
  return rows
}

async function isAccepted(check: Check, token: string): Promise<boolean> {
  try {
    await check(token)
    return true
  } catch {
    return false
  }
}

function rawWork() {
  const module = new URL('../raw/verifier.ts', import.meta.url)
  return { name: raw, module, args: ['raw', 'ES256'] }
}
