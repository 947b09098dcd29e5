/** Compiles with nothing installed but the browser package, and runs. */
import { type AuthClient, createAuthClient } from '@gatepass/browser'

const auth: AuthClient = createAuthClient({ issuer: 'https://auth.example.com' })
console.log(auth.state.status)
auth.close()
// @ts-expect-error: an access token is for the audience of its issuer
export const wrong = () => createAuthClient({ issuer: 'https://auth.example.com', audience: 'api' })
