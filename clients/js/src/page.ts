/** What a `<script>` gives a page: the global `chappe`. */

import { ChappeError, Code, LocalError, VERSION, connect, errorText } from "./index.js";

(globalThis as { chappe?: unknown }).chappe = { ChappeError, Code, LocalError, VERSION, connect, errorText };
