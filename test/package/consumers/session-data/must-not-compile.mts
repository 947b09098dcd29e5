/** Mistakes that the types must catch: each line that ends in a code must give that error. */

import { gatepassData } from '@gatepass/session-data'
import { createVerifier, GatepassError, type VerifierOptions } from '@gatepass/verifier'
import { createRemoteKeys } from '@gatepass/verifier/dist/verifier/keys/remote-keys.js' // TS2307
import { gatepassAuth } from '@gatepass/verifier/fastify'
import Fastify from 'fastify'

const issuer = 'https://auth.example.com'
const audience = 'https://api.example.com'

// Skipping a check takes an explicit null.
createVerifier({ issuer }) // TS2345
createVerifier({ audience }) // TS2345
createVerifier({ issuer, audience: undefined }) // TS2322
createVerifier({ issuer, audience: 1 }) // TS2322
createVerifier({ issuer, audience, keysMaxAge: 60 }) // TS2353
createVerifier({ issuer, audience, jwks: 'https://auth.example.com/keys' }) // TS2322

const verifier = createVerifier({ issuer, audience })
const claims = await verifier.verify('token')
claims.sub = 'mallory' // TS2540
const role: string = claims.role // TS2322
verifier.verifySync(Buffer.from('token')) // TS2345

const app = Fastify()
app.register(gatepassAuth, {}) // TS2769
app.get('/', { config: { auth: { scope: ['a'] } } }, () => ({})) // TS2322
app.get('/', (request) => request.auth.sub) // TS18047

// Data is of the fields that ok.ts declares, and of their types.
const secrets = ['secret']
app.register(gatepassData, { store: 'sqlite:data.db', secrets, fields: {} }) // TS2769
app.get('/', (request) => request.data.user.get('themes')) // TS2345
app.get('/', (request) => request.data.session.get('theme')) // TS2345
app.get('/', (request) => request.data.user.set('theme', 'pink')) // TS2345

new GatepassError('no_such_code') // TS2345
export const options: VerifierOptions = { issuer, audience, role, createRemoteKeys } // TS2353
