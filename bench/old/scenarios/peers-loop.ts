import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Comparison, Scenario } from '../harness/scenario.ts'
import { loop } from '../harness/subjects.ts'
import { rowName, wronglyTaken } from '../peers/samples.ts'
import type { Check, VerifierName } from '../peers/verifiers.ts'
import { verifierPackages } from '../peers/versions.ts'
import { type PeersMaterial, preparePeers, type TokenMix, tokenMixes } from './peers-tokens.ts'

/** The limit of what checks a signature each time, and that of what knows tokens again. */
const raw = 'crypto.verify, nothing else'
const lookUp = 'a look-up in a Map, nothing else'

export const peersLoop: readonly Scenario[] = tokenMixes.map((mix) => ({
  name: `peers-loop-${mix.name}`,
  title: `libraries checking ${mix.label}, in one process and without a server`,
  packages: verifierPackages,
  async prepare(bench) {
    const material = await preparePeers(mix)
    const file = join(bench.scratch, 'tokens')
    writeFileSync(file, material.tokens.join('\n'))
    const module = new URL('../peers/verifier-loop.ts', import.meta.url)
    const trust = JSON.stringify(material.trust)
    const rows = await checkedRows(mix, material)
    const ours = rows[0]?.name ?? ''
    return {
      subjects: [
        ...rows.map(({ verifier, name }) =>
          loop({ name, module, args: [verifier, trust, file] }, bench),
        ),
        loop(rawWork(), bench),
        ...(mix.areNew ? [] : [loop(lookUpWork(file), bench)]),
      ],
      comparisons: rows.flatMap(({ name, limit }) => besideLimits(name, limit, ours)),
    }
  },
}))

/** What each is beside the least that its work can cost; and Gatepass beside each. */
function besideLimits(name: string, limit: string, ours: string): Comparison[] {
  const metric = 'per_core_second' as const
  return [
    { subject: name, metric, limit },
    ...(name === ours ? [] : [{ subject: ours, metric, limit: name }]),
  ]
}

function verifiersOf({ areNew }: TokenMix): VerifierName[] {
  const others: VerifierName[] = ['jose', 'jsonwebtoken', 'aws-jwt-verify']
  return areNew
    ? ['gatepass, nothing kept', 'fast-jwt', ...others]
    : ['gatepass', 'gatepass, verifySync', 'fast-jwt', 'fast-jwt, tuned', ...others]
}

/** Each with the name that its row gets when it has been asked about tokens it must refuse. */
async function checkedRows(mix: TokenMix, { trust, samples }: PeersMaterial) {
  // Loaded when its packages are there.
  const { createCheck, keepsTokens } = await import('../peers/verifiers.ts')
  const rows: { verifier: VerifierName; name: string; limit: string }[] = []
  for (const verifier of verifiersOf(mix)) {
    const check = createCheck(verifier, trust)
    const taken = await wronglyTaken(samples, (token) => isAccepted(check, token))
    const limit = keepsTokens(verifier) && !mix.areNew ? lookUp : raw
    rows.push({ verifier, name: rowName(verifier, taken), limit })
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

function lookUpWork(file: string) {
  return { name: lookUp, module: new URL('../raw/look-up.ts', import.meta.url), args: [file] }
}
