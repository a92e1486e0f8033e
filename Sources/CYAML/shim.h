/* libyaml (apt libyaml-dev): the YAML parser, as events. */
#include <yaml.h>
