/** Compiles with nothing installed but the browser package, and runs. */
import { type AuthClient, createAuthClient } from '@gatepass/browser'
import { createAuthClient as createRedirectClient } from '@gatepass/browser/redirect'

const auth: AuthClient = createAuthClient({ issuer: 'https://auth.example.com' })
console.log(auth.state.status)
auth.close()
// @ts-expect-error: an access token is for the audience of its issuer
export const wrong = () => createAuthClient({ issuer: 'https://auth.example.com', audience: 'api' })

// A page that is rendered on a server has no address.
const redirect = createRedirectClient({
  flow: 'redirect',
  issuer: 'https://auth.example.com',
  clientId: 'shop',
  redirectUri: 'https://shop.example/',
})
if ((await redirect.returned) !== null) throw new Error('there was no sign-in')
redirect.close()
