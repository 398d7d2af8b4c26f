/** Runs before the first paint: the stored theme, so that the page does not flash in the other one. */

import { readPreference } from "./shell/preferences";

const theme = readPreference("theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
