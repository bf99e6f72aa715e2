#pragma once
#include <mamba_stable/numbers.h>
