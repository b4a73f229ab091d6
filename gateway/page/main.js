/** The page: takes pictures, shows the last request's time line, watches the pipeline. */

import { takePictures } from "./classify.js";
import { watchPipeline } from "./status.js";
import { showLast } from "./timeline.js";

takePictures(showLast);
watchPipeline();
