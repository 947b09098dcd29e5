import { z } from 'zod'

/** Claims that Gatepass makes itself. An account attribute never replaces them. */
const reservedClaims = new Set(
  'iss sub aud exp nbf iat jti client_id scope sid auth_time amr acr cnf act'.split(' '),
)

// RFC 6749 §3.3: printable ASCII without space, quote and backslash.
const scopeName = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/, 'is not a scope name')
const claimName = z
  .string()
  .min(1)
  .max(64)
  .refine((name) => !reservedClaims.has(name), 'is a claim that Gatepass makes itself')
const audience = z.string().min(1).max(256)

/** A front end that users sign in with, and the possible content of its tokens. */
export const clientSchema = z.strictObject({
  /** The `client_id` claim; a login may name it. */
  client_id: z.string().regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 letters, digits, . _ or -'),
  /** The `aud` of its tokens. Default: the audience of the service. */
  audience: z.union([audience, z.array(audience).min(1).max(8)]).optional(),
  /** The scopes it may ask for, each with the account attributes that it turns into claims. */
  scopes: z.record(scopeName, z.array(claimName)),
  /** The scopes of a login that requests none. Default: all scopes of the client. */
  default_scope: z.string().optional(),
  /** Whether its tokens must be bound to a key (RFC 9449). Default: `optional`. */
  dpop: z.enum(['optional', 'required']).optional(),
})

export type Client = z.infer<typeof clientSchema>

export const clientsSchema = z
  .array(clientSchema)
  .min(1)
  .max(1000)
  .superRefine((clients, context) => {
    const seen = new Set<string>()
    for (const [index, client] of clients.entries()) {
      if (seen.has(client.client_id)) {
        context.addIssue({ code: 'custom', path: [index, 'client_id'], message: 'is used twice' })
      }
      seen.add(client.client_id)
      const unknown = (client.default_scope ?? '')
        .split(' ')
        .filter((scope) => scope !== '' && !Object.hasOwn(client.scopes, scope))
      if (unknown.length > 0) {
        const message = `names scopes that the client does not have: ${unknown.join(' ')}`
        context.addIssue({ code: 'custom', path: [index, 'default_scope'], message })
      }
    }
  })

/** The client of an installation without configured clients. */
export const defaultClients: Client[] = [
  {
    client_id: 'default',
    scopes: { profile: ['name', 'email', 'roles'], 'data:read': [], 'data:write': [] },
    default_scope: 'data:read data:write',
  },
]
