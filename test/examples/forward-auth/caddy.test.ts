import { caddy } from './caddy.ts'
import { testForwardAuth, testWebSockets } from './suite.ts'

testForwardAuth('Caddy', caddy)
testWebSockets('Caddy', caddy)
