import { caddy } from './caddy.ts'
import { testForwardAuth } from './suite.ts'

testForwardAuth('Caddy', caddy)
