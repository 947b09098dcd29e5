import type { Server } from '../harness/server.ts'

/** How often an issuer was asked so far for what verifiers live by. */
export interface Asked {
  readonly atMs: number
  readonly keys: number
  readonly snapshots: number
}

/** What an issuer counts itself, at its metrics. */
export async function askedOf(issuer: Server): Promise<Asked> {
  const text = await metricsOf(issuer)
  return { atMs: performance.now(), ...readAsked(text) }
}

/** Whether a verifier has its news by the stream, as it says itself. */
export async function isStreaming(verifier: Server): Promise<boolean> {
  return (await metricsOf(verifier)).includes('gatepass_revocations_state{state="streaming"} 1')
}

async function metricsOf({ adminUrl }: Server): Promise<string> {
  if (adminUrl === null) throw new Error('only a service tells its metrics')
  return (await fetch(`${adminUrl}/metrics`)).text()
}

/** @param text in the exposition format of Prometheus */
export function readAsked(text: string): Omit<Asked, 'atMs'> {
  const routes = (route: string) =>
    sumOf(text, /^gatepass_http_request_duration_seconds_count\{(.*)\} (\S+)$/gm, route)
  const plain = /^gatepass_jwks_requests_total (\S+)$/m.exec(text)?.[1]
  if (plain === undefined) throw new Error('these are no metrics of an issuer')
  return {
    keys: Number(plain) + routes('/.well-known/jwks.json'),
    snapshots: routes('/revocations'),
  }
}

function sumOf(text: string, line: RegExp, route: string): number {
  return [...text.matchAll(line)]
    .filter(([, labels = '']) => labels.includes(`route="${route}"`))
    .reduce((sum, [, , count]) => sum + Number(count), 0)
}
