import { importGatepass } from './packages.ts'

/** Measures how long a verifier takes to load the keys and the revocations. `revocations <issuerUrl>` */

const [issuerUrl = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit())
const { createVerifier } = await importGatepass('verifier')
const startMs = performance.now()
const verifier = createVerifier({
  issuer: 'http://localhost:4000',
  audience: 'http://localhost',
  jwksUri: `${issuerUrl}/.well-known/jwks.json`,
  revocations: { stream: false },
})
await verifier.ready()
process.send?.({ load_ms: performance.now() - startMs })
