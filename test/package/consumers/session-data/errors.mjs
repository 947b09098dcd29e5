/** An error of this package is the `GatepassError` of the verifier that the application imports. */
import { gatepassData } from '@gatepass/session-data'
import { GatepassError } from '@gatepass/verifier'
import { gatepassAuth } from '@gatepass/verifier/fastify'
import Fastify from 'fastify'

const app = Fastify()
await app.register(gatepassAuth, { issuer: 'https://auth.example.com', audience: null })
const store = 'sqlite::memory:'
await app.register(gatepassData, { store, secrets: [], fields: {} }).then(undefined, (error) => {
  console.log(JSON.stringify({ isOne: error instanceof GatepassError, code: error.code }))
})
