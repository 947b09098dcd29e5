import type { AddressInfo } from 'node:net'
import { createVerifier, type VerifierOptions } from '@gatepass/verifier'
import { buildShop } from './app.ts'
import { readSettings, type ShopSettings } from './settings.ts'

/** Starts one replica of the shop. README.md explains how. */

/** How long requests in progress may take after a signal to stop. */
const shutdownMs = 10_000

const settings = readSettings(process.env)
const verifier = createVerifier(verifierOptions(settings))
const app = buildShop({
  name: settings.SHOP_NAME,
  verifier,
  store: settings.GATEPASS_DATA_URL,
  secrets: settings.GATEPASS_DATA_SECRET,
  deadlineMs: settings.GATEPASS_DATA_DEADLINE_MS,
  replicas: settings.GATEPASS_DATA_REPLICAS,
  allowedOrigins: settings.SHOP_ALLOWED_ORIGINS,
  logLevel: settings.SHOP_LOG_LEVEL,
  ...(settings.GATEPASS_SESSION_MAX_S && { sessionMaxSeconds: settings.GATEPASS_SESSION_MAX_S }),
  ...(settings.GATEPASS_ACCESS_TTL_S && { accessTtlSeconds: settings.GATEPASS_ACCESS_TTL_S }),
})

let isStopping = false

/** Finishes requests in progress, closes the app and exits. */
async function stop(): Promise<void> {
  if (isStopping) return
  isStopping = true
  setTimeout(() => process.exit(1), shutdownMs).unref()
  // Node looks for idle connections once, and a connection with a request in progress becomes idle
  // later.
  setInterval(() => app.server.closeIdleConnections(), 100).unref()
  await app.close()
  await verifier.close()
  process.exit()
}

process.on('SIGTERM', stop)
process.on('SIGINT', stop)
// A parent process with a channel stops this process by a message, or by exiting.
process.on('message', (message) => message === 'stop' && stop())
process.on('disconnect', stop)

await app.listen({ host: settings.SHOP_HOST, port: settings.SHOP_PORT })
const { port } = app.server.address() as AddressInfo
// Without keys the shop answers 503 and keeps fetching them.
await verifier.ready().catch((error: unknown) => app.log.warn(error))
if (!isStopping) {
  console.log(JSON.stringify({ msg: 'ready', name: settings.SHOP_NAME, port }))
  process.send?.({ type: 'ready', name: settings.SHOP_NAME, port })
}

function verifierOptions(settings: ShopSettings): VerifierOptions {
  const jwksUri = settings.GATEPASS_JWKS_URL
  const uri = settings.GATEPASS_REVOCATIONS_URL
  return {
    issuer: settings.GATEPASS_ISSUER,
    audience: settings.GATEPASS_AUDIENCE,
    ...(jwksUri && { jwksUri }),
    revocations: settings.GATEPASS_REVOCATIONS !== 'off' && {
      stream: settings.GATEPASS_REVOCATIONS === 'stream',
      ...(uri && { uri }),
    },
  }
}
