/** Starts the console. */

import { render } from "preact";
import { startRouting } from "./shell/router";
import { Shell } from "./shell/shell";
import { startTheme } from "./shell/theme";
import { startLanguage } from "./i18n/language";

startLanguage();
startTheme();
startRouting();
const root = document.getElementById("root");
if (root) render(<Shell />, root);
