"""Which points of which SunSpec models are used, and where they stand. Pure: a table.

A test holds every offset, type and scale factor of it to the definitions that SunSpec publishes.

Source: SunSpec Alliance, SunSpec information models (inverters 101-113, nameplate and controls 120-124, storage 802,
DER 701-715).
"""

from agent.drivers.sunspec.points import Point, PointType

_I16, _U32, _I32, _F32 = PointType.INT16, PointType.UINT32, PointType.INT32, PointType.FLOAT32


class Inverter:
    """Models 101, 102, 103: the measurements of an inverter, as scaled integers."""

    POWER = Point("W", 14, _I16, 15)
    STATE = Point("St", 38)


class FloatInverter:
    """Models 111, 112, 113: the same as floats."""

    POWER = Point("W", 22, _F32)
    STATE = Point("St", 48)


class DerMeasurement:
    """Model 701."""

    STATE = Point("InvSt", 4)
    CONNECTION = Point("ConnSt", 5)
    ALARMS = Point("Alrm", 6, _U32)
    POWER = Point("W", 10, _I16, 116)


class DerCapacity:
    """Model 702: ratings, and the settings that may lie below them."""

    RATING = Point("WMaxRtg", 2, scale=45)
    LIMIT = Point("WMax", 26, scale=45)
    CHARGE_RATING = Point("WChaRteMaxRtg", 10, scale=45)
    CHARGE_LIMIT = Point("WChaRteMax", 34, scale=45)


class Nameplate:
    """Model 120."""

    RATING = Point("WRtg", 3, scale=4)


class BasicSettings:
    """Model 121."""

    LIMIT = Point("WMax", 2, scale=22)


class ImmediateControls:
    """Model 123: the generation limit of older inverters. Its reversion always lifts the limit."""

    LIMIT_PCT = Point("WMaxLimPct", 5, scale=23)
    TIMER_S = Point("WMaxLimPct_RvrtTms", 7)
    ENABLED = Point("WMaxLim_Ena", 9)


class BasicStorage:
    """Model 124: the store of older hybrid inverters; read only here."""

    SOC_PCT = Point("ChaState", 8, scale=22)


class DerControls:
    """Model 704: limit and setpoint, each with the value, enabling and timer of its reversion."""

    LIMIT_ENABLED = Point("WMaxLimPctEna", 14)
    LIMIT_PCT = Point("WMaxLimPct", 15, scale=54)
    LIMIT_PCT_AFTER = Point("WMaxLimPctRvrt", 16, scale=54)
    LIMIT_ENABLED_AFTER = Point("WMaxLimPctEnaRvrt", 17)
    LIMIT_TIMER_S = Point("WMaxLimPctRvrtTms", 18, _U32)
    SET_ENABLED = Point("WSetEna", 22)
    SET_MODE = Point("WSetMod", 23)
    SET_W = Point("WSet", 24, _I32, 55)
    SET_W_AFTER = Point("WSetRvrt", 26, _I32, 55)
    SET_PCT = Point("WSetPct", 28, _I16, 56)
    SET_PCT_AFTER = Point("WSetPctRvrt", 29, _I16, 56)
    SET_ENABLED_AFTER = Point("WSetEnaRvrt", 30)
    SET_TIMER_S = Point("WSetRvrtTms", 31, _U32)


class StorageCapacity:
    """Model 713."""

    RATING_WH = Point("WHRtg", 2, scale=7)
    SOC_PCT = Point("SoC", 4, scale=8)
    STATE = Point("Sta", 6)


class DerControl:
    """Model 715."""

    LOCAL = Point("LocRemCtl", 2)


class Battery:
    """Model 802: a battery's own measurements."""

    RATING_WH = Point("WHRtg", 3, scale=53)
    SOC_PCT = Point("SoC", 11, scale=56)
    LOCAL = Point("LocRemCtl", 17)
    STATE = Point("State", 22)
